"""The assignment pass: who gets what, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from flow_app import assignment
from flow_app.queues import pause_queue, resume_queue
from flow_app.survey import survey_due
from tasks_app.expiry import expire_tasks
from tasks_app.models import Task
from tasks_app.states import Gate
from tests.support.engine import SUCCEEDED, Engine, in_seconds
from workers_app import heartbeats


class TestAssignDueTasks:
    def test_gives_a_due_task_to_a_worker_and_says_whom_to_wake(self, engine: Engine) -> None:
        worker, task_id = engine.worker(), engine.create()
        report = engine.assign()
        task = engine.task(task_id)
        assert (report.assigned, report.parked, report.wake, report.held) == (1, 0, [worker], True)
        assert (task.status, task.worker_id, task.attempt, task.version) == ("SCHEDULED", worker, 0, 2)
        assert task.assigned_at is not None
        assert task.started_at is None

    def test_does_nothing_when_nothing_is_due(self, engine: Engine) -> None:
        engine.worker()
        later = engine.create(schedule_at=in_seconds(60))
        assert not engine.assign().moved
        assert engine.task(later).status == "PENDING"

    def test_does_nothing_without_a_live_worker(self, engine: Engine) -> None:
        draining, dead = engine.worker(), engine.worker()
        heartbeats.begin_drain(engine.session, draining)
        engine.kill(dead)
        task_id = engine.create()
        assert not engine.assign().moved
        assert engine.task(task_id).status == "PENDING"

    def test_passes_over_workers_that_drain_or_are_dead_beside_one_that_lives(self, engine: Engine) -> None:
        draining, dead, stopped, live = (engine.worker(slots=5) for _ in range(4))
        heartbeats.begin_drain(engine.session, draining)
        engine.kill(dead)
        heartbeats.mark_stopped(engine.session, stopped)
        engine.create_many(8)
        assert engine.assign().assigned == 5
        assert set(Task.objects.filter(status="SCHEDULED").values_list("worker_id", flat=True)) == {live}

    def test_picks_by_priority_then_due_time_then_id(self, engine: Engine) -> None:
        first, second = engine.create_many(2)
        urgent = engine.create(priority=5)
        lowest = engine.create(priority=-100)
        early = engine.create()
        engine.move(early, run_at=-timedelta(hours=1))
        for task_id in (first, second):
            engine.move(task_id, run_at=-timedelta(minutes=1))
        same = engine.task(first).run_at
        Task.objects.filter(pk=second).update(run_at=same)
        worker = engine.worker(slots=1)
        order = []
        for _ in range(5):
            assert engine.assign().assigned == 1
            [attempt] = engine.start(worker)
            order.append(attempt.task_id)
            engine.finish(worker, attempt, SUCCEEDED)
        assert order == [urgent, early, first, second, lowest]

    def test_gives_no_worker_more_than_its_slots_and_prefetch(self, engine: Engine) -> None:
        small, large = engine.worker(slots=2), engine.worker(slots=3, prefetch=4)
        engine.create_many(30)
        assert engine.assign().assigned == 9
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("worker_id", flat=True)) == {
            small: 2,
            large: 7,
        }
        assert not engine.assign().moved

    def test_counts_running_tasks_as_taken_room(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        engine.create_many(10)
        engine.assign()
        engine.start(worker, limit=2)
        assert not engine.assign().moved
        assert engine.violations() == {}

    def test_fills_free_slots_before_prefetch_and_spreads_them(self, engine: Engine) -> None:
        """Nobody may prefetch while somebody else has a free slot."""
        workers = {engine.worker(slots=3, prefetch=5): 2, engine.worker(slots=2, prefetch=5): 2}
        engine.create_many(4)
        engine.assign()
        assert Counter(Task.objects.values_list("worker_id", flat=True)) == workers
        engine.create_many(1)
        engine.assign()
        assert max(Counter(Task.objects.values_list("worker_id", flat=True)).values()) == 3

    def test_wakes_every_worker_it_gave_tasks_to(self, engine: Engine) -> None:
        """One that is full as the pass sees it may have ended its task, and gone to rest, before the pass commits."""
        busy = engine.worker(slots=1, prefetch=2)
        engine.create_many(3)
        assert engine.assign(limit=1).wake == [busy]
        report = engine.assign()
        assert (report.assigned, report.wake) == (2, [busy])

    def test_stops_at_the_limit_of_a_pass(self, engine: Engine) -> None:
        engine.worker(slots=100)
        engine.create_many(50)
        assert engine.assign(limit=20).assigned == 20
        assert engine.assign(limit=20).assigned == 20
        assert engine.assign(limit=20).assigned == 10

    def test_stops_at_its_limit_also_when_queues_share_it_unevenly(self, engine: Engine) -> None:
        engine.worker(slots=100)
        for queue in ("a", "b", "c"):
            engine.create_many(10, queue=queue)
        assert engine.assign(limit=20).assigned == 20

    def test_lets_queues_take_turns(self, engine: Engine) -> None:
        """Priority orders tasks within a queue; a queue full of urgent tasks starves no other."""
        engine.create_many(50, queue="loud", priority=100)
        quiet = engine.create_many(2, queue="quiet", priority=-100)
        engine.worker(slots=4)
        engine.assign()
        assert engine.statuses(quiet) == ["SCHEDULED", "SCHEDULED"]
        assert Task.objects.filter(queue="loud", status="SCHEDULED").count() == 2

    def test_keeps_to_priorities_within_a_queue_while_queues_take_turns(self, engine: Engine) -> None:
        """What another queue leaves of its turn goes to the urgent tasks of this one, not to whatever else it has."""
        engine.create(queue="b")
        urgent, ordinary = engine.create_many(5, queue="a", priority=1), engine.create_many(5, queue="a")
        engine.worker(slots=4)
        while engine.assign().moved:
            pass
        assert Counter(engine.statuses(urgent)) == {"SCHEDULED": 3, "PENDING": 2}
        assert set(engine.statuses(ordinary)) == {"PENDING"}

    def test_serves_the_queue_that_waited_longest_when_there_is_room_for_one(self, engine: Engine) -> None:
        newcomer, oldest = engine.create(queue="a"), engine.create(queue="b")
        engine.move(oldest, run_at=-timedelta(seconds=5))
        engine.worker(slots=1)
        engine.assign()
        assert engine.statuses([newcomer, oldest]) == ["PENDING", "SCHEDULED"]

    def test_gives_workers_only_tasks_of_their_queues(self, engine: Engine) -> None:
        mails = engine.worker(queues=["mail"], slots=10)
        mail, other = engine.create(queue="mail"), engine.create(queue="other")
        engine.assign()
        assert engine.task(mail).worker_id == mails
        assert engine.task(other).status == "PENDING"

    def test_serves_specialists_first_so_that_general_workers_keep_their_room(self, engine: Engine) -> None:
        general, mails = engine.worker(slots=2), engine.worker(queues=["mail"], slots=2)
        engine.create_many(2, queue="mail")
        others = engine.create_many(2, queue="other")
        engine.assign()
        engine.assign()  # one queue's turn at a time
        assert [engine.task(task_id).worker_id for task_id in others] == [general, general]
        assert Task.objects.filter(worker_id=mails).count() == 2

    def test_lets_general_workers_help_specialists_out(self, engine: Engine) -> None:
        general, mails = engine.worker(slots=2), engine.worker(queues=["mail"], slots=1)
        engine.create_many(3, queue="mail")
        engine.assign()
        assert Counter(Task.objects.values_list("worker_id", flat=True)) == {general: 2, mails: 1}

    def test_leaves_tasks_of_a_paused_queue(self, engine: Engine) -> None:
        engine.worker()
        pause_queue("held", actor="test")
        held, free = engine.create(queue="held"), engine.create()
        engine.assign()
        assert engine.statuses([held, free]) == ["PENDING", "SCHEDULED"]
        resume_queue("held", actor="test")
        engine.assign()
        assert engine.task(held).status == "SCHEDULED"

    def test_sees_a_pause_that_came_after_its_survey(self, engine: Engine) -> None:
        engine.worker()
        held = engine.create(queue="held")
        survey = survey_due(engine.session)
        pause_queue("held", actor="test")
        assert not assignment.assign_due_tasks(engine.session, survey).moved
        assert engine.task(held).status == "PENDING"

    def test_assigns_again_when_a_pause_has_run_out(self, engine: Engine) -> None:
        engine.worker()
        pause_queue("held", actor="test", until=in_seconds(60))
        held = engine.create(queue="held")
        assert not engine.assign().moved
        engine.session.execute("UPDATE queues SET paused_until = now() - interval '1 second'")
        engine.assign()
        assert engine.task(held).status == "SCHEDULED"

    def test_leaves_expired_tasks_to_expiry(self, engine: Engine) -> None:
        engine.worker()
        task_id = engine.create(expires_at=in_seconds(60))
        engine.move(task_id, expires_at=-timedelta(seconds=1))
        assert not engine.assign().moved
        assert expire_tasks(engine.session) == 1

    def test_raises_the_version_of_no_task_it_leaves(self, engine: Engine) -> None:
        engine.worker(slots=1)
        engine.create_many(3)
        engine.assign()
        engine.assign()
        assert sorted(Task.objects.values_list("status", "version")) == [
            ("PENDING", 1),
            ("PENDING", 1),
            ("SCHEDULED", 2),
        ]

    def test_answers_at_once_with_a_million_urgent_tasks_of_the_future_ahead(self, engine: Engine) -> None:
        """They are never walked over; how the plan looks for a large table is in ``test_plans``."""
        engine.create_many(3000, priority=100, schedule_at=in_seconds(3600))
        due = engine.create_many(5)
        engine.worker(slots=10)
        assert engine.assign().assigned == 5
        assert set(engine.statuses(due)) == {"SCHEDULED"}


class TestAnythingDue:
    @pytest.fixture
    def ask(self, engine: Engine) -> Callable[..., bool]:
        worker_id = engine.worker()
        return lambda queues=None: assignment.anything_due(engine.session, worker_id=worker_id, queues=queues)

    def test_is_what_waits_in_a_queue_that_is_served(self, engine: Engine, ask: Callable[..., bool]) -> None:
        assert not ask()
        engine.create(queue="mail")
        assert (ask(), ask(["mail"]), ask(["other"])) == (True, True, False)

    def test_is_not_what_falls_due_later_or_is_paused(self, engine: Engine, ask: Callable[..., bool]) -> None:
        engine.create(schedule_at=in_seconds(60))
        engine.create(queue="mail")
        pause_queue("mail", actor="test")
        assert not ask()
        resume_queue("mail", actor="test")
        assert ask()

    def test_is_what_waits_for_its_key_and_what_lost_its_worker(self, engine: Engine, ask: Callable[..., bool]) -> None:
        parked, suspect = engine.create(concurrency_key="k"), engine.create()
        for task_id, columns in ((parked, {"gate": Gate.KEY}), (suspect, {"crash_count": 1})):
            Task.objects.exclude(pk=task_id).update(schedule_at=in_seconds(60), run_at=in_seconds(60))
            Task.objects.filter(pk=task_id).update(run_at=in_seconds(-1), **columns)
            assert ask()

    def test_is_what_the_worker_owns(self, engine: Engine) -> None:
        worker = engine.worker()
        engine.running(worker)
        other = engine.worker()
        asked = {each: assignment.anything_due(engine.session, worker_id=each, queues=None) for each in (worker, other)}
        assert asked == {worker: True, other: False}
