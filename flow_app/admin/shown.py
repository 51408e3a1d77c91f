"""How rules and figures of queues look. Pure: values in, words or safe HTML out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app.staff import display
from access_app.staff.outputs import masked
from flow_app.figures import Figures, KeyFigures
from flow_app.models import Queue, QueueKey
from flow_app.rules import RULES, Part, Rule
from tasks_app.states import Gate

#: What rules in a group are about.
_GROUPS: Final = {"perKey": "of one key"}
#: What tasks wait for, by the name of their gate.
_GATES: Final = {
    Gate.KEY.name: "others of their concurrency key",
    Gate.DEPENDENCY.name: "other tasks",
    Gate.APPROVAL.name: "somebody to approve them",
    Gate.RATE.name: "a token of a rate",
    Gate.TARGET.name: "the host that they call",
    Gate.TURN.name: "the turn of their tenant",
    Gate.FREEZE.name: "the end of a freeze",
}


def state_of(queue: Queue) -> str:
    if queue.is_frozen:
        return "FROZEN"
    return "PAUSED" if queue.is_paused else "OPEN"


def facts_of_rules(row: object, rules: Iterable[Rule] = RULES) -> list[tuple[str, str]]:
    """The rules that are set: what the form calls each, and its value."""
    return [
        (label_of(rule, rule.parts[0]), _value(row, rule.parts))
        for rule in rules
        if any(getattr(row, part.column) is not None for part in rule.parts)
    ]


def label_of(rule: Rule, part: Part) -> str:
    """What forms and pages call a part. Rules of one shape have the same labels: those in a group say of what."""
    group = rule.path.rpartition(".")[0]
    return f"{part.label} {_GROUPS.get(group, group)}" if group and rule.is_object else part.label


def rules_in_words(row: object, rules: Iterable[Rule] = RULES) -> Iterator[str]:
    return (f"{label.lower()} {value}" for label, value in facts_of_rules(row, rules))


def _value(row: object, parts: tuple[Part, ...]) -> str:
    """``10 in 60 s, and at once 2``: each part behind the first with its label."""
    first, *others = ((part.label, part.kind.words, getattr(row, part.column)) for part in parts)
    said = ", ".join((_word(first), *(f"{each[0]} {_word(each)}" for each in others)))
    return re.sub(r", in seconds ([\d,]+\d|\d)", r" in \1 s", said)


def _word(part: tuple[str, Mapping[str, str], object]) -> str:
    _, words, value = part
    if isinstance(value, dict):
        return display.words(json.dumps(masked(value), ensure_ascii=False))
    return f"{value:,}" if isinstance(value, int) else str(words.get(str(value), value))


def at_least(count: int, found: Figures) -> str:
    """A count of waiting tasks, marked when there may be more."""
    return f"{count:,}{'+' if found.at_least and count else ''}"


def oldest(found: Figures) -> str:
    seconds = found.oldest_due_seconds
    return display.EMPTY if seconds is None else display.span(timedelta(seconds=seconds))


def time_to_drain(found: Figures) -> str:
    """How long until nothing is due, at the pace of the last minute."""
    if not found.due:
        return display.EMPTY
    seconds = found.time_to_drain_seconds
    if seconds is None:
        return "never"
    return f"{'more than ' if found.at_least else ''}{display.span(timedelta(seconds=seconds))}"


def pace(found: Figures) -> str:
    """Tasks created and ended within a minute; about so many, where that is from fewer."""
    about = "≈ " if found.sampled else ""
    return f"{about}{found.in_per_minute:,.0f} / {found.out_per_minute:,.0f}"


def gates(found: Figures) -> SafeString | str:
    """How many wait for what, besides their time and a worker."""
    badges = '<span class="ts-badge ts-grey" title="{}">{} {}</span>'
    rows = ((_GATES.get(gate, gate), gate, f"{count:,}") for gate, count in found.gates.items())
    return format_html_join(" ", badges, rows) or display.EMPTY


def gate_rows(found: Figures) -> list[tuple[str, str]]:
    """The same in words, each with its count."""
    return [(_GATES.get(gate, gate), f"{count:,}") for gate, count in found.gates.items()]


def most_of_key(row: QueueKey, found: KeyFigures) -> str:
    """How many tasks of a key that is set apart may run."""
    if row.paused:
        return "none, it is paused"
    return f"{found.most:,}" if row.max_concurrency is not None else f"{found.most:,}, as in the queue"


def cut(text: str) -> SafeString:
    """What somebody else has named, on one line."""
    return format_html('<span class="ts-cut" title="{0}">{0}</span>', text)
