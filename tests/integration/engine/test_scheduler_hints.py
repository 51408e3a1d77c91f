"""A scheduler that hears what is new while nothing else is due: one pass, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings

from flow_app import assignment, outlook, queues
from tasks_app import wakeups
from tasks_app.sessions import Session
from tasks_app.wakeups import NEW, SCHEDULERS
from tests.support.clocks import Clock, ticking
from tests.support.engine import SUCCEEDED, Engine
from tests.support.races import locked
from tests.support.schedulers import stepped_scheduler
from workers_app.processes.scheduler import Scheduler

OpenSession = Callable[[], Session]

INTERVAL = settings.SCHEDULER.polling_interval
DEFAULT = '[["default",0]]'


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return ticking(monkeypatch)


@pytest.fixture
def scheduler(engine: Engine, clock: Clock) -> Iterator[Scheduler]:
    with stepped_scheduler() as made:
        yield made


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What sessions of this thread execute from now on, by the first line of the SQL."""
    executed: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: psycopg.Cursor, query: bytes | str, *arguments: object, **options: object) -> object:
        text = query.decode() if isinstance(query, bytes) else str(query)
        if threading.current_thread() is threading.main_thread():  # the sender has one of its own
            executed.append(text.split("\n", 1)[0])
        return execute(cursor, query, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    return executed


def calm(scheduler: Scheduler) -> None:
    """Let it see that nothing is due."""
    scheduler._hear("")
    while scheduler.tick() != INTERVAL:
        pass


class TestCalm:
    """A scheduler that hears what is new while nothing else is due: what it may leave out, and when it may not."""

    def test_makes_one_pass_and_nothing_else(self, engine: Engine, scheduler: Scheduler, statements: list[str]) -> None:
        engine.worker(slots=9)
        calm(scheduler)
        tasks = [engine.create(), engine.create()]
        statements.clear()
        scheduler._hear(DEFAULT)
        assert timedelta(0) < scheduler.tick() <= INTERVAL
        assert len(statements) == 7, statements  # begin, take the pass, room, tasks; assign, notify, commit
        assert engine.statuses(tasks) == ["SCHEDULED", "SCHEDULED"]

    def test_looks_when_it_found_nothing(self, engine: Engine, scheduler: Scheduler) -> None:
        """Its queue is paused for a while: when that is over, it must be known of."""
        engine.worker(slots=9)
        calm(scheduler)
        queues.pause_queue("default", actor="me", until=datetime.now(UTC) + INTERVAL / 2)
        task_id = engine.create()
        scheduler._hear(DEFAULT)
        assert scheduler.tick() <= INTERVAL / 2
        assert engine.task(task_id).status == "PENDING"

    def test_looks_when_some_of_it_waits_for_a_key(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(slots=9)
        calm(scheduler)
        engine.create(concurrency_key="k")
        engine.create(concurrency_key="k")
        scheduler._hear(DEFAULT)
        assert scheduler.tick() == INTERVAL  # counted from a survey that the pass was followed by

    def test_gives_all_who_wait_their_turn_when_room_is_short(self, engine: Engine, scheduler: Scheduler) -> None:
        """A hint must not let its queue overtake: another one has waited for longer."""
        worker = engine.worker(slots=1)
        calm(scheduler)
        first = engine.create(queue="a")
        scheduler._hear('[["a",0]]')
        scheduler.tick()
        waiting = engine.create(queue="b")
        scheduler._hear('[["b",0]]')
        scheduler.tick()
        [attempt] = engine.start(worker)
        assert attempt.task_id == first
        later = engine.create(queue="c")
        engine.finish(worker, attempt, SUCCEEDED)
        scheduler._hear('[["c",0]]')
        scheduler.tick()
        assert engine.statuses([waiting, later]) == ["SCHEDULED", "PENDING"]

    def test_looks_at_everything_when_somebody_doubts(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(slots=9)
        calm(scheduler)
        old = engine.create(queue="old")
        scheduler._outlook.pairs.doubt()  # as the housekeeper does, in its own thread
        engine.create()
        scheduler._hear(DEFAULT)
        scheduler.tick()
        assert engine.task(old).status == "SCHEDULED"

    @pytest.mark.parametrize("message", ["", NEW, "*", "[[", '[["old",0],["?",0]]'])
    def test_looks_at_everything_when_told_of_anything_else_too(
        self, engine: Engine, scheduler: Scheduler, message: str
    ) -> None:
        """Also by a process of another release, whose message it does not understand."""
        engine.worker(slots=9)
        calm(scheduler)
        old = engine.create(queue="old")
        engine.create()
        for told in (DEFAULT, message, DEFAULT):
            scheduler._hear(told)
        scheduler.tick()
        assert engine.task(old).status == "SCHEDULED"

    def test_finds_what_a_lost_hint_was_about_in_a_poll_interval_however_many_others_come(
        self, engine: Engine, scheduler: Scheduler, clock: Clock
    ) -> None:
        engine.worker(slots=99)
        calm(scheduler)
        lost = engine.create(queue="lost")
        rest = INTERVAL
        for _ in range(9):
            clock.now += INTERVAL.total_seconds() / 10
            engine.create()
            scheduler._hear(DEFAULT)
            rest = scheduler.tick()
            assert engine.task(lost).status == "PENDING"
        assert rest <= INTERVAL / 9
        clock.now += rest.total_seconds()
        scheduler.tick()
        assert engine.task(lost).status == "SCHEDULED"

    def test_is_not_late_for_what_falls_due_meanwhile(self, engine: Engine, scheduler: Scheduler, clock: Clock) -> None:
        engine.worker(slots=9)
        scheduler._hear("")
        soon = engine.create(queue="soon", schedule_at=datetime.now(UTC) + INTERVAL / 2)
        rest = scheduler.tick()
        assert rest <= INTERVAL / 2
        engine.create()
        scheduler._hear(DEFAULT)
        assert scheduler.tick() <= rest
        engine.move(soon, run_at=timedelta(0))
        clock.now += rest.total_seconds()
        engine.create()
        scheduler._hear(DEFAULT)
        scheduler.tick()
        assert engine.task(soon).status == "SCHEDULED"

    def test_serves_every_class_of_workers(self, engine: Engine, scheduler: Scheduler) -> None:
        special, general = engine.worker(slots=1, queues=["q"]), engine.worker(slots=9)
        calm(scheduler)
        tasks = [engine.create(queue="q") for _ in range(3)]
        scheduler._hear('[["q",0]]')
        scheduler.tick()
        assert sorted(map(str, map(engine.owner_of, tasks))) == sorted(map(str, [special, general, general]))

    def test_rests_when_no_worker_serves_the_queue(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(queues=["other"])
        calm(scheduler)
        task_id = engine.create()
        scheduler._hear(DEFAULT)
        assert scheduler.tick() == INTERVAL
        engine.worker()
        scheduler._hear("")  # as the worker's registration says
        scheduler.tick()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_finds_a_task_older_than_what_the_pass_before_took(self, engine: Engine, scheduler: Scheduler) -> None:
        """Its transaction began long before it was committed, and the hint came behind that."""
        engine.worker(slots=9)
        calm(scheduler)
        for offset in (timedelta(0), timedelta(hours=-1)):
            task_id = engine.create()
            engine.move(task_id, run_at=offset)
            scheduler._hear(DEFAULT)
            scheduler.tick()
            assert engine.task(task_id).status == "SCHEDULED"

    def test_is_not_led_astray_by_another_scheduler_that_hears_the_same(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession
    ) -> None:
        engine.worker(slots=9)
        calm(scheduler)
        task_id = engine.create()
        scheduler._hear(DEFAULT)
        with locked(open_session(), "scheduler_pass", "name", "assign"):
            assert scheduler.tick() == INTERVAL
        assert engine.task(task_id).status == "PENDING"
        assert scheduler._outlook.calm is None  # it knows of something due: the next hint has it look at everything
        engine.create(queue="q")
        scheduler._hear('[["q",0]]')
        while scheduler.tick() != INTERVAL:
            pass
        assert engine.task(task_id).status == "SCHEDULED"

    def test_that_others_have_taken_already_rests(self, engine: Engine, scheduler: Scheduler) -> None:
        engine.worker(slots=9)
        calm(scheduler)
        engine.create()
        assert engine.assign().assigned == 1
        scheduler._hear(DEFAULT)
        assert scheduler.tick() == INTERVAL

    def test_hears_what_is_sent_while_it_makes_a_pass(
        self, engine: Engine, scheduler: Scheduler, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The listener's connection keeps it until the scheduler sleeps."""
        monkeypatch.undo()
        engine.worker(slots=9)
        scheduler.listener.wait(5)
        calm(scheduler)
        wait = time.monotonic() + 5
        session.execute("SELECT pg_notify(%s, %s)", [SCHEDULERS, DEFAULT])
        scheduler.tick()
        scheduler.listener.wait(5)
        assert time.monotonic() < wait
        assert scheduler._new == {("default", 0)}

    def test_is_remembered_where_surveys_would_not_see_it(
        self, engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside a held snapshot, each pass over a pair would else walk over all that it was ever assigned."""
        monkeypatch.setattr(outlook, "SLOW", -1.0)
        monkeypatch.setattr(outlook, "HOLDS", 1_000_000_000)
        engine.worker(slots=9)
        engine.create(queue="other")
        calm(scheduler)
        task = engine.task(engine.create())
        scheduler._hear(DEFAULT)
        scheduler.tick()
        [head] = scheduler._outlook.pairs.heads_of(scheduler._session, {("default", 0)})
        assert datetime.fromisoformat(head.run_at) == task.run_at - timedelta(seconds=1)
        assert engine.task(task.pk).status == "SCHEDULED"


class TestHintsToWorkers:
    """They go out with the pass that assigned."""

    def test_may_be_refused_and_then_passes_do_without(
        self, engine: Engine, scheduler: Scheduler, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The queue of NOTIFY is full, because some session listens and has been in one transaction for days."""
        refused = "DO $$ BEGIN RAISE program_limit_exceeded; END $$"
        asked: list[object] = []

        def refuse(session: Session, worker_ids: object, **_: object) -> None:
            asked.append(worker_ids)
            session.connection.execute(refused)

        monkeypatch.setattr(wakeups, "notify_workers", refuse)
        engine.worker(slots=9)
        for _ in range(2):
            task_id = engine.create()
            for _ in range(2):
                scheduler.step()
            assert engine.task(task_id).status == "SCHEDULED"
        assert len(asked) == 1
        clock.now += assignment.QUIET
        engine.create()
        scheduler.step()
        assert len(asked) == 2


class TestTookAll:
    """What a pass must have done before a scheduler may rest without a look."""

    def test_is_so_when_room_is_left_where_the_queue_is_served(self, engine: Engine) -> None:
        engine.worker(slots=2, queues=["q"])
        engine.worker(slots=9, queues=["other"])
        engine.create(queue="q")
        assert engine.assign().took_all
        engine.create(queue="q")
        report = engine.assign()
        assert (report.assigned, report.took_all, report.room) == (1, False, 9)

    def test_is_not_so_of_several_queues(self, engine: Engine) -> None:
        engine.worker(slots=9)
        for queue in ("a", "b"):
            engine.create(queue=queue)
        report = engine.assign()
        assert (report.assigned, report.took_all) == (2, False)

    def test_is_not_so_of_a_full_batch(self, engine: Engine) -> None:
        engine.worker(slots=9)
        engine.create_many(3)
        assert [engine.assign(limit=limit).took_all for limit in (2, 2)] == [False, True]

    def test_is_not_so_while_something_that_was_locked_stays(self, engine: Engine) -> None:
        """Neither given away nor parked, because whoever comes first for its key is in other hands."""
        engine.worker(slots=9)
        engine.create()
        engine.assigned(engine.worker(slots=9, queues=["keyed"]), queue="keyed", concurrency_key="k")
        engine.create(queue="keyed", concurrency_key="k")
        engine.create(queue="keyed")
        engine.assign()  # that of the default queue is gone
        engine.create(queue="keyed", concurrency_key="k")
        engine.create(queue="keyed")
        report = engine.assign()
        assert (report.assigned, report.parked, report.took_all) == (1, 1, False)
