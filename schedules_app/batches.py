"""What one firing pass writes: decisions turned into rows, for any number of schedules, in a handful of statements.

Nothing is decided here, and nothing is locked: ``firing`` brings locked schedules and owns the transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from access_app.refusals import InvalidInput
from access_app.sql import Copying, statement
from access_app.texts import escaped
from schedules_app.batch_templates import Open, OpenBatch
from schedules_app.calendars import Calendar
from schedules_app.firing_rules import Decided, Decision, Due, FireState, Pause, decide, next_due
from schedules_app.making import Making
from schedules_app.recurrence import Recurrence
from schedules_app.stored import StoredSchedule
from schedules_app.templates import ONE_AT_A_TIME, Makes, made_by

#: When a schedule that could not be decided is looked at again: doubled each time it cannot, up to the longest.
PUT_OFF: Final = timedelta(minutes=1)
LONGEST_PUT_OFF: Final = timedelta(hours=1)
_LONGEST_REASON: Final = 300

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class FireReport:
    """What one pass did. ``stop``: workers that run tasks it asked to cancel. ``more``: another may find more due."""

    schedules: int = 0
    states: Counter[str] = field(default_factory=Counter)
    #: Seconds from due to decided, of the latest slot that ran.
    lateness: float = 0.0
    stop: list[UUID] = field(default_factory=list)
    more: bool = False

    @property
    def tasks(self) -> int:
        return self.states[FireState.FIRED] + self.states[FireState.LATE]


class Batch:
    """Rows to write, collected schedule by schedule. One that raises while it is added has added nothing."""

    def __init__(self, now: datetime, cursor: Copying) -> None:
        """``cursor`` reads what schedules make."""
        self.report = FireReport()
        self._now, self._cursor = now, cursor
        self._rules: dict[str, str] = {}
        self._fires: list[tuple[Any, ...]] = []
        self._moves: list[tuple[Any, ...]] = []
        self.making = Making(now)
        self._bounded = False
        self._fired_before: dict[UUID, datetime | None] = {}
        #: Schedules that could not be decided for the first time, and why.
        self._given_up: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._moves)

    def add(
        self,
        row: StoredSchedule,
        calendars: Mapping[str, Calendar],
        open_tasks: Sequence[Open],
        pause: Pause | None = None,
    ) -> None:
        """Decide the due slots of one schedule, and its next one. ``pause``: as if it were paused like that."""
        recurrence = row.recurrence()
        rules = self._rules_of(recurrence)
        first = row.next_slot if rules == row.zone_rules else _first_under_new_rules(row, recurrence)
        decided = Decided((), None)
        if first is not None:
            decided = decide(
                row.id,
                recurrence,
                row.policy(calendars),
                first=first,
                now=self._now,
                pause=pause or row.pause,
                open_tasks=open_tasks,
            )
        makes, decided = self._with_template(row, decided)
        decisions = decided.decisions
        self._bounded |= row.bounded
        self._fired_before[row.id] = row.last_fire_at
        self._record(row, decisions, makes, open_tasks)
        self._move(row, decided.next, rules, *_progress(row, decisions, recurrence, self._now))

    def follow(self, row: StoredSchedule) -> None:
        """Compute the next slot of one schedule anew, because the rules of its zone changed."""
        recurrence = row.recurrence()
        due = next_due(row.id, recurrence, row.jitter, after=row.last_slot, after_local=row.local)
        self._move(row, due, self._rules_of(recurrence), row.last_slot, row.last_local, row.last_fire_at)

    def put_off(self, row: StoredSchedule, error: Exception, rules: str = "") -> datetime:
        """Look at one schedule again later, and return when; nothing about it is decided."""
        at, last = self._now + put_off_for(row.put_offs), (row.last_slot, row.last_local, row.last_fire_at)
        reason = escaped(str(error) or type(error).__name__)[:_LONGEST_REASON]
        self._moves.append((row.id, row.next_slot, at, *last, rules or row.zone_rules, row.put_offs + 1, reason))
        if row.put_offs == 0:
            self._given_up.append((f"schedule:{row.name}", reason))
        return at

    def write(self, cursor: Copying) -> None:
        """Write everything that was added, in the caller's transaction."""
        if self._bounded and len(self.making):
            self._miss_full(cursor)
        if taken := self.making.store_unique(cursor):
            self._drop(taken, FireState.SKIPPED_OVERLAP)
        self.report.stop = self.making.make_way(cursor)
        if self._given_up:
            cursor.execute(_RECORD_GIVEN_UP, _arrays(("targets", "reasons"), self._given_up))
        self.making.store(cursor, self._record_fires(cursor))
        self.report.schedules = len(self._moves)

    def _miss_full(self, cursor: Copying) -> None:
        """Miss the slots of what finds no room. Nothing makes way for what is not made."""
        self._drop(self.making.drop_full(cursor), FireState.MISSED)
        self.making.keep_for({fire[0] for fire in self._fires if fire[-1] is not None})

    def _drop(self, notes: Mapping[UUID, str], instead: FireState) -> None:
        """Drop the slots of tasks that are not made, if any, and leave when their schedules last fired as it was."""
        fires, self._fires = self._fires, []
        for *slot, state, note, task_id in fires:
            if task_id in notes:
                self.report.states[state] -= 1
                self.report.states[instead] += 1
                state, note, task_id = instead, "; ".join(filter(None, (note, notes[task_id]))), None
            self._fires.append((*slot, state, note, task_id))
        fired = {fire[0] for fire in self._fires if fire[-1] is not None}
        self._moves = [
            (*move[:5], move[5] if move[0] in fired else self._fired_before.get(move[0], move[5]), *move[6:])
            for move in self._moves
        ]

    def _record_fires(self, cursor: Copying) -> list[UUID]:
        """Write ledger and next times; return what is to be made."""
        batches = self.making.batches
        fires = [(*fire, *((None, made) if made in batches else (made, None))) for *fire, made in self._fires]
        cursor.execute(statement("record_fires"), _arrays(_FIRES, fires) | _arrays(_MOVES, self._moves))
        return [made for (made,) in cursor.fetchall()]

    def _rules_of(self, recurrence: Recurrence) -> str:
        name = recurrence.definition.timezone
        if name not in self._rules:
            self._rules[name] = recurrence.zone.fingerprint(self._now)
        return self._rules[name]

    def _record(
        self,
        row: StoredSchedule,
        decisions: Sequence[Decision],
        makes: Makes | None,
        open_tasks: Sequence[Open],
    ) -> None:
        after = open_tasks if row.overlap in ONE_AT_A_TIME else ()
        for decision in decisions:
            made = None
            if decision.runs and makes is not None:
                made = self.making.add(row, makes, decision.slot.at, after)
                self.report.lateness = max(self.report.lateness, (self._now - decision.due_at).total_seconds())
                if row.overlap in ONE_AT_A_TIME:
                    after = [OpenBatch(made)]
            if decision.cancel_open:
                self.making.cancel(row, open_tasks)
            self._fires.append(
                (row.id, decision.slot.at, decision.last_slot, decision.due_at, decision.state, decision.note, made)
            )
            self.report.states[decision.state] += 1

    def _with_template(self, row: StoredSchedule, decided: Decided) -> tuple[Makes | None, Decided]:
        """What to make, and what was decided; slots that would make it are MISSED when this installation cannot.

        Of batches with many tasks some are made now, and the slots behind them are left for the next pass.
        """
        if not any(decision.runs for decision in decided.decisions):
            return None, decided
        try:
            makes = made_by(self._cursor, row)
        except InvalidInput as error:
            which = "batch" if row.task is None else "task"
            facts = {"schedule": row.name, "schedule_id": str(row.id), "problems": error.problems}
            log.error("schedule_task_refused", **facts)  # noqa: TRY400 - a traceback would say nothing more
            return None, replace(decided, decisions=_missed(decided.decisions, f"its {which} is refused: {error}"))
        return makes, self._cut(decided, makes.most_slots)

    def _cut(self, decided: Decided, most: int | None) -> Decided:
        running = [at for at, decision in enumerate(decided.decisions) if decision.runs]
        if most is None or len(running) <= most:
            return decided
        self.report.more = True
        first = decided.decisions[running[most]]
        return Decided(decided.decisions[: running[most]], Due(first.slot, first.due_at))

    def _move(
        self,
        row: StoredSchedule,
        due: Due | None,
        rules: str,
        last_slot: datetime,
        last_local: datetime,
        last_fire_at: datetime | None,
    ) -> None:
        next_slot, next_fire_at = (due.slot.at, due.at) if due else (None, None)
        self._moves.append((row.id, next_slot, next_fire_at, last_slot, last_local, last_fire_at, rules, 0, ""))


def put_off_for(times: int) -> timedelta:
    """How long a schedule is left alone that could not be decided, so many times before."""
    return min(PUT_OFF * (1 << min(times, 30)), LONGEST_PUT_OFF)


def _first_under_new_rules(row: StoredSchedule, recurrence: Recurrence) -> datetime | None:
    """The first undecided slot, when the stored one was computed under rules that are no longer those of the zone."""
    due = next_due(row.id, recurrence, row.jitter, after=row.last_slot, after_local=row.local)
    return due.slot.at if due else None


def _missed(decisions: Sequence[Decision], note: str) -> tuple[Decision, ...]:
    """The same, without anything that runs."""
    return tuple(
        replace(each, state=FireState.MISSED, note=note, cancel_open=False) if each.runs else each for each in decisions
    )


def _progress(
    row: StoredSchedule, decisions: Sequence[Decision], recurrence: Recurrence, now: datetime
) -> tuple[datetime, datetime, datetime | None]:
    """How far the schedule is decided: the newest slot, its wall clock, and when it last made a task."""
    if not decisions:
        return row.last_slot, row.last_local, row.last_fire_at
    newest = decisions[-1]
    if newest.last_slot is None:
        slot, local = newest.slot.at, newest.slot.local
    else:
        slot, local = newest.last_slot, recurrence.zone.local(newest.last_slot)
    ran = any(decision.runs for decision in decisions)
    return slot, local.replace(tzinfo=UTC), now if ran else row.last_fire_at


#: The parameters of ``sql/record_fires.sql``: one array for each column.
_FIRES: Final = ("fires", "slots", "last_slots", "due", "states", "notes", "tasks", "batches")
_MOVES: Final = ("schedules", "next_slots", "next_fires", "decided", "locals", "fired", "rules", "put_offs", "reasons")
#: The first time only: what goes on is seen in the row and the log.
_RECORD_GIVEN_UP: Final = (
    "INSERT INTO audit_events (actor, action, target, reason)"
    " SELECT 'scheduler', 'schedule.put_off', * FROM unnest(%(targets)s::text[], %(reasons)s::text[])"
)


def _arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}
