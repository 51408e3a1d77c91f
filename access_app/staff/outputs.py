"""How payloads and results look: short facts, and panels of text for captured output. Secrets are masked.

Pure, and by the shape of the JSON rather than the task type, so that types of third parties look right too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from access_app import masking
from access_app.masking import MASK

#: Colours and cursor movements that programs write for a terminal (ECMA-48 control sequences).
_TERMINAL: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
#: Text longer than this is a panel, not a fact.
_LONGEST_FACT: Final = 120
#: The name of a flag that says a text was cut: stdout, stdoutTruncated.
_CUT: Final = "Truncated"


@dataclass(frozen=True, slots=True)
class Panel:
    """A text to be shown in a monospace box."""

    title: str
    text: str
    truncated: bool = False


@dataclass(slots=True)
class Output:
    """A result taken apart: what fits in a line, and what needs a box."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


def pretty(value: Any) -> str:
    """JSON as a person reads it, with secrets masked."""
    return json.dumps(masked(value), indent=2, ensure_ascii=False)


def masked(value: Any) -> Any:
    """The same JSON without credentials."""
    return masking.masked(value, MASK)


def take_apart(result: Any) -> Output:
    """Facts and panels of a result (or of a late one). Empty texts are left out."""
    output = Output()
    if not isinstance(result, dict):
        if result is not None:
            output.panels.append(Panel("result", pretty(result)))
        return output
    for name, value in masked(result).items():
        if name.endswith(_CUT) and name.removesuffix(_CUT) in result:
            continue
        if isinstance(value, (dict, list)):
            if value:
                output.panels.append(Panel(name, json.dumps(value, indent=2, ensure_ascii=False)))
        elif isinstance(value, str) and (name in ("stdout", "stderr", "body") or _is_long(value)):
            if value:
                output.panels.append(Panel(name, readable(value), bool(result.get(name + _CUT))))
        elif value is not None:
            output.facts.append((name, json.dumps(value) if isinstance(value, bool) else str(value)))
    return output


def readable(text: str) -> str:
    """Captured text without what steers terminals; a whole JSON document is laid out, unless it is too deep to mask."""
    if text[:1] in "{[":
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return _laid_out(value)
    return _TERMINAL.sub("", text).replace("\r\n", "\n")


def _laid_out(value: Any) -> str:
    try:
        return pretty(value)
    except RecursionError:
        return MASK  # nobody has looked for secrets in it


def summary(payload_value: str | None) -> str:
    """One line of what a task does: its URL or command, without credentials."""
    return masking.mask_urls(" ".join((payload_value or "").split()), MASK)


def _is_long(value: str) -> bool:
    return len(value) > _LONGEST_FACT or "\n" in value
