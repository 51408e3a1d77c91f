"""Schedulers that die and stay away under schedules of every second: no slot is missed, none runs twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from schedules_app import services
from schedules_app.models import Schedule
from tests.support.schedules import make_schedule
from tests.support.stack import Stack, query
from tests.support.waiting import eventually

SECOND = timedelta(seconds=1)
SCHEDULES = 40
BATCH: dict[str, Any] = {
    "name": "fan-in",
    "tasks": [{"ref": "a", "type": "DUMMY"}, {"ref": "b", "type": "DUMMY"}, {"type": "DUMMY", "dependsOn": ["a", "b"]}],
}


def newest() -> datetime:
    """Up to here every schedule is decided."""
    [(at,)] = query("SELECT min(last_slot) FROM schedules")
    return at  # type: ignore[no-any-return]


def decided(seconds: float) -> None:
    """Wait until all schedules are decided this much further."""
    goal = newest() + timedelta(seconds=seconds)
    eventually(lambda: newest() >= goal, timeout=30 + seconds)


def check() -> None:
    """Each slot has one row and one task, or one whole batch, of its own, and there is a row for every second."""
    gaps = query(
        "SELECT schedule_id, count(*), extract(epoch FROM max(slot) - min(slot))::int + 1 FROM schedule_fires"
        " GROUP BY schedule_id HAVING count(*) <> extract(epoch FROM max(slot) - min(slot))::int + 1"
    )
    assert gaps == []
    assert query("SELECT DISTINCT state FROM schedule_fires") == [("FIRED",)]
    for made, rows, alone in (("task_id", "tasks", "batch_id"), ("batch_id", "batches", "NULL")):
        unmatched = query(
            f"SELECT 1 FROM (SELECT * FROM schedule_fires WHERE {made} IS NOT NULL) AS f"
            f" FULL JOIN (SELECT * FROM {rows} WHERE {alone} IS NULL) AS t"
            f" ON t.id = f.{made} AND t.schedule_id = f.schedule_id AND t.scheduled_for = f.slot"
            " WHERE t.id IS NULL OR f.id IS NULL"
        )
        assert unmatched == []
    assert query("SELECT 1 FROM schedule_fires WHERE num_nonnulls(task_id, batch_id) <> 1") == []
    torn = query(
        "SELECT b.id FROM batches b LEFT JOIN tasks t ON t.batch_id = b.id LEFT JOIN task_edges e ON e.child_id = t.id"
        " GROUP BY b.id HAVING count(DISTINCT t.id) <> 3 OR count(e.parent_id) <> 2"
    )
    assert torn == []
    assert query("SELECT count(DISTINCT schedule_id) FROM schedule_fires") == [(SCHEDULES,)]


@pytest.fixture
def busy(stack: Stack) -> Stack:
    """A task, or a batch, each second from each of many schedules."""
    for number in range(SCHEDULES):
        template = {"task": None, "batch": BATCH} if number % 4 == 0 else {}
        make_schedule(due=0, every=SECOND, overlap="allow", **template)
    return stack


class TestSchedulers:
    def have_started(self, stack: Stack, count: int) -> None:
        """Wait until as many schedulers have said so: one that is killed before has not."""
        eventually(lambda: stack.log.read_text().count("scheduler_started") == count, timeout=30)

    def test_killed_one_after_the_other_miss_nothing_and_double_nothing(self, busy: Stack) -> None:
        running = [busy.scheduler() for _ in range(3)]
        decided(2)
        for number in range(3):
            self.have_started(busy, 3 + number)
            victim = running.pop(0)
            victim.kill()
            victim.wait(10)
            running.append(busy.scheduler())
            decided(1)
        self.have_started(busy, 6)  # also the last, beside the others
        for process in running:
            assert busy.stop(process) == 0
        check()

    @pytest.mark.chaos_long
    def test_that_were_all_away_make_up_for_what_the_grace_allows(self, busy: Stack) -> None:
        first = busy.scheduler()
        decided(1)
        first.kill()
        first.wait(10)
        stopped = newest()
        eventually(lambda: query("SELECT now() - %s > interval '4 s'", stopped) == [(True,)], timeout=20)
        assert newest() == stopped
        second = busy.scheduler()
        decided(5)
        assert busy.stop(second) == 0
        check()

    def test_neither_fire_at_once_nor_forget_what_was_paused(self, busy: Stack) -> None:
        scheduler = busy.scheduler()
        decided(1)
        schedule_id = Schedule.objects.values_list("pk", flat=True)[0]
        services.pause_schedule(schedule_id, actor="ops")
        decided(2)
        services.resume_schedule(schedule_id, actor="ops")
        decided(2)
        assert busy.stop(scheduler) == 0
        states = [
            state
            for (state,) in query("SELECT state FROM schedule_fires WHERE schedule_id = %s ORDER BY slot", schedule_id)
        ]
        paused = states.count("SKIPPED_PAUSED")
        first = states.index("SKIPPED_PAUSED")
        assert states == ["FIRED"] * first + ["SKIPPED_PAUSED"] * paused + ["FIRED"] * (len(states) - first - paused)
        assert first and paused >= 1 and len(states) > first + paused
