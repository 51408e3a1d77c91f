"""Recurring schedules to measure with, and what became of their slots: counted from the ledger and the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from access_app.ids import new_task_ids
from schedules_app.new_schedules import NewSchedule
from schedules_app.services import create_schedule
from tests.bench.bench import Bench

#: Copies of a schedule that the service has made: the rows are those it would have made, only quicker.
_COPY: Final = """
INSERT INTO schedules
SELECT made.*
  FROM schedules s, unnest(%s::uuid[]) AS new(id),
       LATERAL jsonb_populate_record(s, jsonb_build_object('id', new.id, 'name', s.name || '-' || new.id)) AS made
 WHERE s.id = %s"""

#: Every slot of every schedule in a window of whole minutes, with its row of the ledger if it has one.
_SLOTS: Final = """
SELECT f.task_id, f.decided_at - f.due_at AS late
  FROM schedules s
 CROSS JOIN generate_series(%(since)s::timestamptz, %(until)s, interval '1 minute') AS minute
  LEFT JOIN schedule_fires f ON f.schedule_id = s.id AND f.slot = minute"""
_COUNT: Final = f"SELECT count(*), count(*) FILTER (WHERE task_id IS NULL) FROM ({_SLOTS}) AS slots"
_LATE: Final = f"SELECT extract(epoch FROM late)::float8 FROM ({_SLOTS}) AS slots WHERE task_id IS NOT NULL"
_START: Final = """
SELECT extract(epoch FROM e.started_at - t.scheduled_for)::float8
  FROM tasks t JOIN task_executions e ON e.task_id = t.id
 WHERE t.scheduled_for BETWEEN %(since)s AND %(until)s"""
#: Tasks that share a slot, tasks that their slot's row does not name, and rows whose task does not exist.
_WRONG: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM tasks WHERE schedule_id IS NOT NULL
                               GROUP BY schedule_id, scheduled_for HAVING count(*) > 1) AS doubled)
     + (SELECT count(*)
          FROM tasks t
          LEFT JOIN schedule_fires f ON f.schedule_id = t.schedule_id AND f.slot = t.scheduled_for
         WHERE t.schedule_id IS NOT NULL AND f.task_id IS DISTINCT FROM t.id)
     + (SELECT count(*) FROM schedule_fires f LEFT JOIN tasks t ON t.id = f.task_id
         WHERE f.task_id IS NOT NULL AND t.id IS NULL)"""
_UNDECIDED: Final = "SELECT EXISTS (SELECT FROM schedules WHERE next_fire_at <= %s)"


@dataclass(frozen=True, slots=True)
class Slots:
    """What became of the slots of a window. Times in seconds, measured by the database's clock."""

    count: int
    missed: int
    double: int
    #: From due to decided, and from the slot to the start of its task.
    late: list[float]
    start: list[float]

    def check(self) -> None:
        """Raise RuntimeError when a slot was missed or doubled: figures of that are worth nothing."""
        if self.missed or self.double:
            raise RuntimeError(
                f"of {self.count:,} slots {self.missed:,} made no task, {self.double:,} did not fit theirs"
            )


def fill_schedules(bench: Bench, count: int, new: NewSchedule) -> None:
    """So many schedules like ``new``, due at the same moments."""
    made = create_schedule(new, created_by="bench").schedule
    bench.watch.execute(_COPY.encode(), [new_task_ids(count - 1), made.pk])


def decided_until(bench: Bench, at: datetime) -> bool:
    """Has every slot that was due at that moment been decided?"""
    return not bench.one(bench.watch, _UNDECIDED, [at])


def read_slots(bench: Bench, since: datetime, until: datetime) -> Slots:
    """What became of the slots from ``since`` to ``until``, of schedules that all fire each minute."""
    window = {"since": since, "until": until}
    [(count, missed)] = bench.watch.execute(_COUNT.encode(), window).fetchall()
    late, start = ([row[0] for row in bench.watch.execute(sql.encode(), window)] for sql in (_LATE, _START))
    return Slots(count, missed, bench.one(bench.watch, _WRONG), late, start)
