"""A scheduler with nothing to do: a round of its housekeeper is every second survey, and nothing waits for longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings

from flow_app import outlook, queues, survey
from schedules_app.models import Schedule
from tasks_app import wakeups
from tests.support.clocks import Clock, ticking
from tests.support.engine import Engine
from tests.support.schedulers import stepped_scheduler
from tests.support.schedules import make_schedule
from workers_app.processes.housekeeper import EARLY, Housekeeper
from workers_app.processes.scheduler import Scheduler

INTERVAL: float = settings.SCHEDULER.polling_interval.total_seconds()
ROUNDS: float = settings.SCHEDULER.failure_detection_interval.total_seconds()
BETWEEN = 0.001


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return ticking(monkeypatch)


@pytest.fixture
def scheduler(engine: Engine, clock: Clock) -> Iterator[Scheduler]:
    """One that has seen that nothing is due, half a poll interval ago; its housekeeper has done its chores."""
    engine.worker(slots=9)
    with stepped_scheduler() as made:
        made._housekeeper.round()
        made.tick()
        clock.now += INTERVAL / 2
        yield made


@pytest.fixture
def housekeeper(scheduler: Scheduler) -> Housekeeper:
    return scheduler._housekeeper


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every trip of a pipeline from now on."""
    made: list[str] = []
    pipeline = psycopg.Connection.pipeline

    def counted(connection: psycopg.Connection) -> object:
        made.append(connection.info.get_parameters()["application_name"])
        return pipeline(connection)

    monkeypatch.setattr(psycopg.Connection, "pipeline", counted)
    return made


def is_postponed(scheduler: Scheduler) -> bool:
    calm = scheduler._outlook.calm
    return calm is not None and calm.postponed


class TestCalm:
    def test_is_prolonged_by_a_round_that_found_nothing(
        self, scheduler: Scheduler, housekeeper: Housekeeper, clock: Clock, trips: list[str]
    ) -> None:
        housekeeper.round()
        assert trips == ["task_scheduler housekeeper"]
        clock.now += INTERVAL / 2 + BETWEEN  # the survey was to be made now
        assert scheduler.tick().total_seconds() == pytest.approx(INTERVAL / 2, abs=0.01)
        assert len(trips) == 1
        clock.now += INTERVAL / 2
        scheduler.tick()
        assert trips == ["task_scheduler housekeeper", "task_scheduler scheduler"]

    def test_costs_an_idle_installation_one_trip_for_each_poll_interval(
        self, scheduler: Scheduler, housekeeper: Housekeeper, clock: Clock, trips: list[str]
    ) -> None:
        began = clock.now
        next_tick = next_round = began
        while clock.now < began + 60 * INTERVAL:
            clock.now = max(clock.now, min(next_tick, next_round) + BETWEEN)
            if next_tick <= next_round:
                next_tick = scheduler.tick().total_seconds() + clock.now
            else:
                next_round = housekeeper._guarded_round() + clock.now
        assert 57 <= len(trips) <= 64
        assert trips.count("task_scheduler scheduler") >= 29

    def test_is_prolonged_once_between_two_surveys_of_its_own(
        self, scheduler: Scheduler, housekeeper: Housekeeper, clock: Clock
    ) -> None:
        """Its own go over the connection that passes are made on, which may lead to another server."""
        housekeeper.round()
        calm = scheduler._outlook.calm
        assert calm is not None
        until = calm.until
        clock.now += INTERVAL / 2
        housekeeper.round()
        assert (scheduler._outlook.calm, calm.until) == (calm, until)

    @pytest.mark.parametrize("before", [True, False])
    def test_leaves_what_a_lost_hint_was_about_no_longer_than_a_poll_interval(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper, clock: Clock, *, before: bool
    ) -> None:
        lost = engine.create() if before else None
        housekeeper.round()
        lost = lost or engine.create()
        clock.now += INTERVAL / 2
        rest = scheduler.tick()
        if not before:
            clock.now += rest.total_seconds()
            assert rest.total_seconds() <= INTERVAL / 2
            scheduler.tick()
        assert engine.task(lost).status == "SCHEDULED"

    def test_ends_at_any_hint(self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper) -> None:
        housekeeper.round()
        task_id = engine.create()
        scheduler._hear(wakeups.NEW)
        scheduler.tick()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_ends_at_a_hint_heard_while_the_housekeeper_looks(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[object] = []
        may_rest_on = survey.may_rest_on

        def hear_and_decide(sent: survey.Sent, calm: outlook.Calm) -> bool:
            made.append(engine.create())
            scheduler._hear(wakeups.NEW)
            return may_rest_on(sent, calm)

        monkeypatch.setattr("workers_app.processes.housekeeper.may_rest_on", hear_and_decide)
        housekeeper.round()
        scheduler.tick()
        [task_id] = made
        assert engine.task(task_id).status == "SCHEDULED"  # type: ignore[arg-type]

    def test_ends_at_a_doubt(self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper) -> None:
        housekeeper.round()
        task_id = engine.create()
        scheduler._outlook.pairs.doubt()
        scheduler.tick()
        assert engine.task(task_id).status == "SCHEDULED"


class TestMayRestOn:
    """When a round leaves the survey to the scheduler."""

    def test_when_a_task_falls_due_within_a_poll_interval(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper
    ) -> None:
        engine.create(schedule_at=datetime.now(UTC) + timedelta(seconds=INTERVAL * 0.9))
        housekeeper.round()
        assert not is_postponed(scheduler)

    @pytest.mark.parametrize(("factor", "postponed"), [(0.9, False), (60, True)])
    def test_when_a_schedule_falls_due_within_a_poll_interval(
        self, scheduler: Scheduler, housekeeper: Housekeeper, *, factor: float, postponed: bool
    ) -> None:
        schedule = make_schedule()
        due = datetime.now(UTC) + timedelta(seconds=INTERVAL * factor)
        Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=due)
        housekeeper.round()
        assert is_postponed(scheduler) is postponed

    def test_when_other_queues_are_served_than_it_knows(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper
    ) -> None:
        engine.worker(queues=["other"])
        housekeeper.round()
        assert not is_postponed(scheduler)

    def test_when_there_is_more_than_one_look_returns(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.create(schedule_at=datetime.now(UTC) + timedelta(hours=1))
        monkeypatch.setattr(survey, "MAX_HEADS", 1)
        housekeeper.round()
        assert not is_postponed(scheduler)

    def test_when_looks_are_slow(
        self, scheduler: Scheduler, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outlook, "SLOW", -1.0)
        scheduler._hear("")
        scheduler.tick()
        housekeeper.round()
        assert not is_postponed(scheduler)

    def test_when_the_next_round_comes_before_it(
        self, scheduler: Scheduler, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(housekeeper, "_interval", INTERVAL / 4)
        housekeeper.round()
        assert not is_postponed(scheduler)

    def test_not_for_what_nobody_serves_or_is_paused_for_good(
        self, engine: Engine, scheduler: Scheduler, housekeeper: Housekeeper
    ) -> None:
        queues.pause_queue("paused", actor="me")
        engine.create(queue="paused")
        engine.create(schedule_at=datetime.now(UTC) + timedelta(hours=1))
        housekeeper.round()
        assert is_postponed(scheduler)


class TestRounds:
    def test_come_early_while_the_scheduler_is_calm(self, scheduler: Scheduler, housekeeper: Housekeeper) -> None:
        assert housekeeper._guarded_round() == ROUNDS * EARLY
        scheduler._hear("")
        assert housekeeper._guarded_round() == ROUNDS
