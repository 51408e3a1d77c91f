"""The rules that a queue can have, a row each. Pure.

**A new rule** is a row in `RULES`, its columns in ``models`` with their CHECKs, and the migration. From the row follow
reading, checking and storing it (``PATCH /queues/{name}``, `queues.edit_queue`), its part of the audit event, showing
it (``GET``, pages), its fields in the form of the admin and its part of ``/schema``. All its columns are NULL while
nobody has set it, and null ends it.

- The path is the JSON name. ``perKey.maxConcurrency`` is the member ``maxConcurrency`` of the object ``perKey``: what a
  change does not name in that object stays as it is.
- A rule whose parts have names (``limit``, ``periodSeconds``) is an object itself, and is replaced as a whole. A part
  that may be left out has a ``default``.
- What else has to happen when it changes (taking back what is assigned, stamping rows) is a line in `queues.EFFECTS`:
  it runs in the transaction of the change, with the pass held. What a pass does about the rule is up to the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from access_app.http.fields import Fields, read_fields
from access_app.http.fields import whole as read_whole
from access_app.http.openapi.schemas import Json, integer, obj, schema, variant
from access_app.refusals import InvalidInput
from flow_app.rates import LONGEST_PERIOD, MOST_STARTS, default_burst
from tasks_app.callbacks import CALLBACK
from tasks_app.kinds import Kind, one_of

#: The largest limit of a queue.
MOST_CONCURRENT: Final = 100_000
#: The largest bound of what waits in a queue, or for a concurrency key.
MOST_WAITING: Final = 10_000_000
#: The longest time in which a priority ages by a level: a day.
LONGEST_AGE: Final = 86_400
#: The largest limit of a concurrency key.
MOST_PER_KEY: Final = 1000
#: The largest weight of a key.
MOST_WEIGHT: Final = 1000
#: The default of a part that has none.
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A column of a rule."""

    column: str
    kind: Kind
    #: What pages and forms call it.
    label: str
    #: Its name in the object that the rule is; empty when it is the only part, and the rule its value.
    name: str = ""
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be set for a queue.

    ``together`` checks the columns of a rule with several parts, and fills in what follows from the others.
    """

    path: str
    help: str
    parts: tuple[Part, ...]
    together: Callable[[dict[str, Any]], dict[str, Any]] = dict

    @property
    def is_object(self) -> bool:
        return bool(self.parts[0].name)

    def columns(self, value: Any) -> dict[str, Any]:
        """What its columns hold for a JSON value. Raises ValueError, or `InvalidInput` with the paths of its parts."""
        if value is None:
            return {part.column: None for part in self.parts}
        if self.is_object:
            return self._columns_of(value)
        try:
            return {self.parts[0].column: self.parts[0].kind.read(value)}
        except InvalidInput:
            raise
        except ValueError as error:
            raise ValueError(f"{error}, or null") from None

    def _columns_of(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("must be an object, or null")
        problems: dict[str, str] = {}
        values = read_fields(value, {part.name: (part.column, part.kind.read) for part in self.parts}, problems)
        for part in self.parts:
            if part.name not in value and part.default is REQUIRED:
                problems[part.name] = "is required"
        if problems:
            raise InvalidInput(problems)
        return self.together({part.column: part.default for part in self.parts} | values)

    def shown(self, row: object) -> Any:
        """Its JSON value, of a row that has its columns."""
        values = {part.name: getattr(row, part.column) for part in self.parts}
        if not self.is_object:
            return values[""]
        return None if all(value is None for value in values.values()) else values

    @property
    def schema(self) -> Json:
        """The JSON Schema of its values, null among them; that of an object is one of ``rule_components``."""
        return _or_null(schema(self.component) if self.is_object else self.parts[0].kind.schema, self.help)

    @property
    def component(self) -> str:
        """The name in ``/schema`` of the object that it is. Rules of one shape share it: that of their last member."""
        return _named(self.path)

    @property
    def paths(self) -> dict[str, str]:
        """The JSON path of each of its columns."""
        return {f"{self.path}.{part.name}".rstrip("."): part.column for part in self.parts}


def _or_null(value: Json, help_text: str) -> Json:
    values = {"enum": [*value["enum"], None]} if "enum" in value else {}
    return variant(value, null=True, description=f"{help_text} null: no such rule.") | values


def _named(path: str) -> str:
    """``perKey.rateLimit`` is a RateLimit."""
    last = path.rpartition(".")[2]
    return last[:1].upper() + last[1:]


def within(low: int, high: int) -> Kind:
    """A whole number within limits, which are legal themselves."""
    sentence = f"must be between {low:,} and {high:,}"

    def read(value: Any) -> Any:
        if not low <= read_whole(value) <= high:
            raise ValueError(sentence)
        return value

    return Kind(schema=integer(low, high), read=read)


def rate_rule(path: str, prefix: str, what: str) -> Rule:
    """A rate in columns of this prefix; ``what`` is what starts."""
    limit, period, burst = f"{prefix}_limit", f"{prefix}_period", f"{prefix}_burst"

    def complete(values: dict[str, Any]) -> dict[str, Any]:
        if values[burst] is None:
            values[burst] = default_burst(values[limit], values[period])
        if values[burst] > values[limit]:
            raise InvalidInput({"burst": f"must be no more than the limit, {values[limit]:,}"})
        return values

    return Rule(
        path,
        f"In every period, wherever it begins, at most limit + burst {what} start. They come evenly; burst is how many "
        "more than one may start at once after a quiet time, by default as many as come in a tenth of a second.",
        (
            Part(column=limit, kind=within(1, MOST_STARTS), label="Starts", name="limit"),
            Part(column=period, kind=within(1, LONGEST_PERIOD), label="in seconds", name="periodSeconds"),
            Part(column=burst, kind=within(0, MOST_STARTS), label="and at once", name="burst", default=None),
        ),
        complete,
    )


class FairBy(StrEnum):
    """What tells the tenants apart that share a queue."""

    CREATED_BY = "createdBy"
    FAIR_KEY = "fairKey"


_TENANTS: Final = {"createdBy": "who created the task", "fairKey": "the fairKey of the task"}

RULES: Final = (
    Rule(
        "maxConcurrency",
        "At most so many of its tasks are assigned or running at any instant. 0 closes it.",
        (Part(column="max_concurrency", kind=within(0, MOST_CONCURRENT), label="At most"),),
    ),
    rate_rule("rateLimit", "rate", "of its tasks"),
    Rule(
        "fairBy",
        "What tells the tenants apart that share it: they take turns, whatever each has queued.",
        (Part(column="fair_by", kind=one_of(FairBy, _TENANTS), label="Shared by"),),
    ),
    Rule(
        "perKey.maxConcurrency",
        "At most so many of its tasks with the same concurrency key are assigned or running; 1 unless set.",
        (Part(column="key_max_concurrency", kind=within(1, MOST_PER_KEY), label="At most of one key"),),
    ),
    Rule(
        "priorityAgeSeconds",
        "A task that waits rises by one level of priority in so many seconds.",
        (Part(column="priority_age_seconds", kind=within(1, LONGEST_AGE), label="A level in seconds"),),
    ),
    Rule(
        "maxWaiting",
        "While so many of its tasks wait, for whatever it is, new ones are refused with 429. 0: it takes nothing new.",
        (Part(column="max_waiting", kind=within(0, MOST_WAITING), label="At most waiting"),),
    ),
    Rule(
        "perKey.maxWaiting",
        "While so many of its tasks with the same concurrency key wait, new ones of the key are refused with 429.",
        (Part(column="key_max_waiting", kind=within(0, MOST_WAITING), label="At most waiting for one key"),),
    ),
    rate_rule("perKey.rateLimit", "key_rate", "of its tasks with the same concurrency key"),
    Rule(
        "callback",
        "Is told of the ends of tasks that are created without a callback of their own, nor one of their schedule.",
        (Part(column="callback", kind=CALLBACK, label="Callback"),),
    ),
)


#: Not among the rules: it is given with a resume, and ends by itself.
RESUME_RATE: Final = rate_rule("resumeRate", "thaw", "of its tasks")


def read_changes(changes: Any, rules: Iterable[Rule] = RULES) -> dict[str, Any]:
    """The columns that a JSON object of rules sets. Raises `InvalidInput`."""
    if type(changes) is not dict:
        raise InvalidInput({"body": "must be an object"})
    fields: Fields = nested({rule.path: (rule.path, rule.columns) for rule in rules})
    problems: dict[str, str] = {}
    read = read_fields(changes, fields, problems)
    if problems:
        raise InvalidInput(problems)
    return {column: value for columns in read.values() for column, value in columns.items()}


def shown_rules(row: object, rules: Iterable[Rule] = RULES) -> dict[str, Any]:
    """All rules of a queue as JSON."""
    return nested({rule.path: rule.shown(row) for rule in rules})


def rule_schemas(rules: Iterable[Rule] = RULES, *, changes: bool = False) -> Json:
    """The properties of a queue that are its rules; for ``changes`` the members of an object may be left out."""
    tree = nested({rule.path: rule for rule in rules})
    word = "Changes" if changes else ""
    return {
        name: below.schema if isinstance(below, Rule) else schema(_named(name) + word) for name, below in tree.items()
    }


def rule_components(rules: Iterable[Rule] = RULES) -> Json:
    """The schemas that those of the rules refer to: objects that are rules, and objects that group some, by name."""
    rows = tuple(rules)
    components = {rule.component: _object_of(rule.parts) for rule in rows if rule.is_object}
    for name, below in nested({rule.path: rule for rule in rows}).items():
        if not isinstance(below, Rule):
            members = {member: rule.schema for member, rule in below.items()}
            components |= {_named(name): obj(members), f"{_named(name)}Changes": obj(members, required=[])}
    return components


def _object_of(parts: Iterable[Part]) -> Json:
    required = [part.name for part in parts if part.default is REQUIRED]
    return obj({part.name: part.kind.schema for part in parts}, required=required)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of paths as the objects that the paths go through."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        group, _, member = path.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[member] = value
    return tree
