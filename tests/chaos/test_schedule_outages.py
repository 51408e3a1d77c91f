"""Outages of schedulers that last longer than the grace: each policy keeps its word, and each slot has its row."""

from __future__ import annotations

import signal
import subprocess
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest

from schedules_app.models import Schedule
from tests.support.schedules import ledger, make_schedule, tasks_of
from tests.support.stack import Stack, query
from tests.support.waiting import eventually

SECOND = timedelta(seconds=1)
#: Seconds without a scheduler: more slots than run_all may run.
AWAY = 8
MAX_RUNS = 3
#: A slot is missed when it is decided later; as long as nothing stands still, a slot is decided within this.
GRACE = 3
_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'task_scheduler scheduler'"
POLICIES = ("skip", "run_once", "run_all")


def newest() -> datetime:
    """Up to here every schedule is decided."""
    [(at,)] = query("SELECT min(last_slot) FROM schedules")
    return at  # type: ignore[no-any-return]


def decided(seconds: float) -> None:
    """Wait until all schedules are decided this much further."""
    goal = newest() + timedelta(seconds=seconds)
    eventually(lambda: newest() >= goal, timeout=30 + seconds)


def stands_still_since(stopped: datetime) -> None:
    """Wait until the schedulers' last decision is an outage ago."""
    eventually(lambda: query("SELECT now() - %s > %s", stopped, AWAY * SECOND) == [(True,)], timeout=AWAY + 20)
    assert newest() == stopped


def outcome(schedule: Schedule) -> list[tuple[str, int]]:
    """Its states in the order of slots, each with how often it comes in a row. No slot is without a row, and each run
    has a task of its own."""
    fires = ledger(schedule)
    assert [fire.slot for fire in fires] == [fires[0].slot + n * SECOND for n in range(len(fires))]
    runs = [(fire.task_id, fire.slot) for fire in fires if fire.state in ("FIRED", "LATE")]
    assert sorted(runs) == sorted((task.pk, task.scheduled_for) for task in tasks_of(schedule))
    return [(state, len(list(group))) for state, group in groupby(fire.state for fire in fires)]


def states_of(told: list[tuple[str, int]]) -> list[str]:
    return [state for state, _ in told]


@pytest.fixture
def first(stack: Stack) -> subprocess.Popen[bytes]:
    """A scheduler that has begun to work."""
    scheduler = stack.scheduler()
    eventually(lambda: query("SELECT 1 FROM scheduler_heartbeats"), timeout=30)
    return scheduler


@pytest.fixture
def schedules(first: object) -> dict[str, Schedule]:
    """One schedule of every second for each policy."""
    choices: dict[str, Any] = {"overlap": "allow", "misfire_max_runs": MAX_RUNS, "misfire_grace_seconds": GRACE}
    return {policy: make_schedule(due=0, every=SECOND, misfire_policy=policy, **choices) for policy in POLICIES}


def check_policies(schedules: dict[str, Schedule]) -> None:
    """Some slots are on time before the outage, the newest of it are within the grace again, those between missed."""
    skipped, once, ran = (outcome(schedules[policy]) for policy in POLICIES)
    assert states_of(skipped) == ["FIRED", "MISSED", "FIRED"]
    missed, on_time = skipped[1][1], skipped[2]
    assert missed >= AWAY - GRACE - 1
    # Those made a moment later may begin a second later.
    assert states_of(once)[0] == states_of(ran)[0] == "FIRED"
    assert once[1:] == [("COALESCED", missed), on_time]
    assert ran[1:] == [("MISSED", missed - MAX_RUNS), ("LATE", MAX_RUNS), on_time]


class TestOutage:
    @pytest.mark.parametrize(
        "how",
        [
            pytest.param(signal.SIGTERM, id="stopped", marks=pytest.mark.chaos_long),
            pytest.param(signal.SIGKILL, id="killed"),
        ],
    )
    def test_of_the_only_scheduler(
        self, stack: Stack, first: subprocess.Popen[bytes], schedules: dict[str, Schedule], how: signal.Signals
    ) -> None:
        decided(2)
        first.send_signal(how)
        first.wait(20)
        eventually(lambda: query(f"SELECT count(*) {_SESSIONS}") == [(0,)], timeout=20)  # all it had sent is done
        stands_still_since(newest())
        second = stack.scheduler()
        decided(AWAY + 2)
        assert stack.stop(second) == 0
        check_policies(schedules)

    @pytest.mark.chaos_long
    def test_of_one_that_is_frozen_and_comes_back(
        self, stack: Stack, first: subprocess.Popen[bytes], schedules: dict[str, Schedule]
    ) -> None:
        decided(2)
        freeze_between_passes(first)
        stands_still_since(newest())
        first.send_signal(signal.SIGCONT)
        decided(AWAY + 2)
        assert stack.stop(first) == 0
        check_policies(schedules)


@pytest.mark.chaos_long  # thirteen seconds of leases that end
class TestFrozen:
    def test_scheduler_costs_nothing_beside_another(
        self, stack: Stack, first: subprocess.Popen[bytes], schedules: dict[str, Schedule]
    ) -> None:
        """Wherever it stands, in a pass too: the server cuts it off, and its slots are on time or made up for."""
        running = [first, stack.scheduler()]
        decided(2)
        for scheduler in running:
            scheduler.send_signal(signal.SIGSTOP)
            decided(4)
            scheduler.send_signal(signal.SIGCONT)
            decided(1)
        for scheduler in running:
            assert stack.stop(scheduler) == 0
        for schedule in schedules.values():
            assert set(states_of(outcome(schedule))) <= {"FIRED", "LATE", "COALESCED", "MISSED"}


def freeze_between_passes(scheduler: subprocess.Popen[bytes]) -> None:
    """Stop it while it holds no transaction open, so that nothing it has begun is committed later."""

    def frozen() -> bool:
        scheduler.send_signal(signal.SIGSTOP)
        if query(f"SELECT count(*) {_SESSIONS} AND state <> 'idle'") == [(0,)]:
            return True
        scheduler.send_signal(signal.SIGCONT)
        return False

    eventually(frozen)
