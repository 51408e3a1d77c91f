"""What is in queues: how much waits, for what, how much runs, and how fast it moves. Read only, and always bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from access_app.sql import statement
from flow_app.models import Queue
from tasks_app.sessions import Session
from tasks_app.states import Gate

#: So many tasks are counted of each queue when it is asked for alone, and of all queues of a list together.
MOST_COUNTED: Final = 20_000
#: Fewer are never counted of a queue of a list.
LEAST_COUNTED: Final = 200
#: Rates are those of so many tasks that came, or ended, last.
SAMPLE: Final = 2000
#: Priorities of a queue that are looked at.
PRIORITIES: Final = 32
#: Concurrency keys of a queue that are shown as its busiest, and tasks behind each that are counted.
MOST_BUSY: Final = 20
MOST_BEHIND: Final = 1000
_PLANNING: Final = """
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       set_config('join_collapse_limit', '1', true)
"""
_CLOSED: Final = sorted(gate for gate in Gate if gate > Gate.KEY)

#: Runs a statement with its parameters; returns columns and rows.
Ask = Callable[[str, dict[str, Any]], tuple[list[str], list[tuple[Any, ...]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one queue, at one moment. ``waiting`` and its parts are lower bounds when ``at_least``."""

    waiting: int = 0
    due: int = 0
    #: Those of them that other due tasks of their keys come before, though no pass has parked them yet.
    behind_keys: int = 0
    #: Due within the horizon that was asked for.
    soon: int = 0
    at_least: bool = False
    oldest_due_seconds: float | None = None
    #: Assigned to a worker, and not started.
    scheduled: int = 0
    running: int = 0
    #: The slots that those two take.
    owned_slots: int = 0
    #: How many wait for something besides time and a worker, by the name of the gate.
    gates: dict[str, int] = field(default_factory=dict)
    in_per_minute: float = 0
    out_per_minute: float = 0
    #: The rates are of less than a minute: more tasks than `SAMPLE` came or ended in it.
    sampled: bool = False

    @property
    def time_to_drain_seconds(self) -> float | None:
        """How long until nothing is due, when tasks come and end as they do now; None when that is never."""
        if not self.due:
            return 0
        left = self.out_per_minute - self.in_per_minute
        return round(self.due / left * 60, 1) if left > 0 else None


def _ask(sql: str, parameters: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows. No plan may read all tasks, whatever the planner believes of them, and joins are in the order
    in which they are written: to try others takes as long as the statement.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PLANNING)
        cursor.execute(sql, parameters)
        return [column.name for column in cursor.description], cursor.fetchall()


def asking(session: Session) -> Ask:
    """The same over the connection of a long-lived process. It raises what psycopg raises."""

    def ask(sql: str, parameters: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
        with session.connection.transaction():
            session.connection.execute(_PLANNING.encode())
            cursor = session.connection.execute(sql.encode(), parameters)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    return ask


def find_queues(*, most: int, ask: Ask = _ask) -> list[str]:
    """Names of the queues in use, in order, the first so many: with a task that has not ended, or with a row.

    It costs some 10 µs a queue, however much waits in them.
    """
    return [name for (name,) in ask(statement("find_queues"), {"limit": most})[1]]


def find_busy_queues(*, most: int, ask: Ask = _ask) -> list[str]:
    """Names of queues in which something runs, or came or ended lately, those with most of it first."""
    return [name for (name,) in ask(statement("find_busy_queues"), {"limit": most, "sample": SAMPLE})[1]]


def find_some(*, most: int, ask: Ask = _ask) -> tuple[list[str], bool]:
    """Names of queues in use, and whether these are all of them: when there are more, those that are busy go first."""
    names = find_queues(most=most + 1, ask=ask)
    if len(names) <= most:
        return names, True
    return sorted([*dict.fromkeys([*find_busy_queues(most=most, ask=ask), *names])][:most]), False


def measure_queues(
    names: Sequence[str], *, horizon: timedelta = timedelta(0), keyed: int | None = None, ask: Ask = _ask
) -> dict[str, Figures]:
    """The figures of each of these queues. Of more queues, fewer tasks of each are counted.

    ``keyed``: so many tasks with concurrency keys are looked at in each, if not as many as others. They cost ten times
    as much: whether their key holds them back, no index says.
    """
    if not names:
        return {}
    limit = max(LEAST_COUNTED, MOST_COUNTED // len(names))
    parameters: dict[str, Any] = {
        "names": list(names),
        "limit": limit,
        "keyed": keyed or limit,
        "priorities": PRIORITIES,
        "sample": SAMPLE,
        "gates": list(map(int, _CLOSED)),
        "horizon": horizon.total_seconds(),
    }
    return {row["name"]: _figures(row) for row in read_rows(statement("measure_queues"), parameters, ask)}


def measure_deeply(names: Sequence[str], *, horizon: timedelta = timedelta(0), ask: Ask = _ask) -> dict[str, Figures]:
    """The same, where a few of many queues may hold nearly everything: these are counted once more, by themselves."""
    measured = measure_queues(names, horizon=horizon, ask=ask)
    full = [name for name, found in measured.items() if found.at_least]
    return measured | measure_queues(full, horizon=horizon, ask=ask) if len(full) < len(measured) else measured


def list_figures(names: Sequence[str]) -> dict[str, Figures]:
    """Those of a page of a list."""
    return measure_queues(names, keyed=LEAST_COUNTED)


def read_rows(sql: str, parameters: dict[str, Any], ask: Ask = _ask) -> list[dict[str, Any]]:
    """The rows of a statement, by column."""
    columns, rows = ask(sql, parameters)
    return [dict(zip(columns, row, strict=True)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """Of one concurrency key. ``waiting`` is a lower bound at `MOST_BEHIND`."""

    key: str
    #: Among those of which most tasks are assigned or running.
    busy: bool
    held: int
    #: The first of those that hold it.
    holders: Sequence[UUID]
    #: How many may.
    most: int
    waiting: int


def measure_keys(queue: str, keys: Sequence[str]) -> dict[str, KeyFigures]:
    """These concurrency keys of a queue, and those of which most is assigned or running; the busiest first."""
    parameters = {"queue": queue, "keys": list(keys), "most": MOST_BUSY, "limit": MOST_BEHIND}
    return {row["key"]: KeyFigures(**row) for row in read_rows(statement("measure_keys"), parameters)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFigures:
    """Of one host that tasks call. ``waiting`` behind its gate is a lower bound at `MOST_BEHIND`."""

    host: str
    #: Assigned or running.
    owned: int
    waiting: int


def measure_targets(hosts: Sequence[str]) -> dict[str, TargetFigures]:
    """The figures of each of these hosts."""
    parameters = {"hosts": list(hosts), "limit": MOST_BEHIND}
    return {row["host"]: TargetFigures(**row) for row in read_rows(statement("measure_targets"), parameters)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """How many tasks may start now under the rate of a ``queue``, of a ``target``, or of a resume (``thaw``)."""

    kind: str
    tokens: int
    #: When the next one comes at the earliest; None: there is one.
    next_at: datetime | None


def tokens_of(queue: str) -> list[Tokens]:
    """The rates of a queue, as they are now."""
    sql = "SELECT kind, tokens, next_at FROM rated_queues WHERE name = %(name)s ORDER BY kind"
    return [Tokens(**row) for row in read_rows(sql, {"name": queue})]


def tokens_of_target(host: str) -> list[Tokens]:
    """The rate of a host that tasks call, as it is now."""
    sql = "SELECT 'target' AS kind, tokens, next_at FROM rated_targets WHERE name = %(name)s"
    return [Tokens(**row) for row in read_rows(sql, {"name": host})]


def rate_tokens(names: Sequence[str]) -> dict[str, int]:
    """How many tasks may start now, of those of the queues that have a rate."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, min(tokens) FROM rated_queues WHERE name = ANY(%s) GROUP BY name", [list(names)])
        return dict(cursor.fetchall())


def rows_of(names: Iterable[str]) -> list[Queue]:
    """The queues of these names, in their order; one without a row as it would be, at version 0."""
    wanted = list(names)
    rows = Queue.objects.in_bulk(wanted)
    return [rows.get(name) or Queue.unset(name) for name in wanted]


def _figures(row: dict[str, Any]) -> Figures:
    behind = {Gate.KEY: row["parked"], **dict(zip(_CLOSED, row["gated"], strict=True))}
    gates = {gate.name: count for gate, count in behind.items() if count}
    return Figures(
        waiting=row["ungated"] + sum(gates.values()),
        due=row["due"],
        behind_keys=row["behind_keys"],
        soon=row["soon"],
        at_least=row["capped"],
        oldest_due_seconds=row["oldest_due_seconds"],
        scheduled=row["scheduled"],
        running=row["running"],
        owned_slots=row["owned_slots"],
        gates=gates,
        in_per_minute=_per_minute(row["came"], row["came_in"]),
        out_per_minute=_per_minute(row["ended"], row["ended_in"]),
        sampled=min(row["came_in"], row["ended_in"]) < 60,
    )


def _per_minute(count: int, seconds: float) -> float:
    return round(count * 60 / seconds, 1)
