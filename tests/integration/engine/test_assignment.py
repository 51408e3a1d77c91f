"""The assignment pass: who gets what, in which order, and what happens when others hold the rows it wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from flow_app import assignment
from flow_app.queues import pause_queue, resume_queue
from flow_app.survey import survey_due
from tasks_app import services
from tasks_app.expiry import expire_tasks
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import SUCCEEDED, Engine, in_seconds, pass_over
from tests.support.races import held_after_its_look, locked, looks_held, rival, rival_on, transaction
from workers_app import heartbeats

OpenSession = Callable[[], Session]


def suspects(engine: Engine, *wanted: dict[str, object]) -> list[UUID]:
    """Waiting tasks that have each taken a worker down."""
    victims = [engine.worker(slots=1) for _ in wanted]
    tasks = [engine.create(**fields) for fields in wanted]
    engine.assign()
    for victim in victims:
        assert len(engine.start(victim)) == 1
        engine.kill(victim)
    assert len(engine.recover()) == len(wanted)
    return tasks


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


class TestAssignDueTasksAmongOthers:
    def test_skips_rows_that_somebody_holds_without_waiting(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=3)
        first, second, third = engine.create_many(3)
        with locked(open_session(), "tasks", "id", second):
            assert engine.assign().assigned == 2
            assert engine.statuses([first, second, third]) == ["SCHEDULED", "PENDING", "SCHEDULED"]
        assert engine.assign().assigned == 1

    def test_gives_the_room_of_a_row_that_somebody_holds_to_the_next(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """However long it is held, by a console somebody left open for example: the queue behind it goes on."""
        engine.worker(slots=1)
        first, second = engine.create_many(2)
        with locked(open_session(), "tasks", "id", first):
            assert engine.assign().assigned == 1
            assert engine.statuses([first, second]) == ["PENDING", "SCHEDULED"]

    def test_makes_no_pass_while_another_scheduler_makes_one(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker()
        task_id = engine.create()
        with locked(open_session(), "scheduler_pass", "name", "assign"):
            report = engine.assign()
            assert (report.held, report.assigned, report.moved) == (False, 0, False)
            assert engine.task(task_id).status == "PENDING"
        assert engine.assign().held

    def test_never_overshoots_room_when_two_schedulers_pass_at_once(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The pass is a statement of its own: merged with the counting, its snapshot would be older than the lock."""
        engine.worker(slots=5)
        engine.create_many(20)
        first, second = open_session(), open_session()
        survey = survey_due(first)
        with transaction(first):
            first.rows("take_pass")
            first.rows("assign_due_tasks", pass_over(["default"], limit=100))
            rivals = [rival_on(second, lambda session: assignment.assign_due_tasks(session, survey))]
            assert [r.answer().held for r in rivals] == [False]
        assert not assignment.assign_due_tasks(second, survey).moved
        assert Task.objects.filter(status="SCHEDULED").count() == 5

    def test_frees_the_pass_when_its_scheduler_dies(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker()
        engine.create()
        doomed = open_session()
        doomed.execute("BEGIN")
        doomed.rows("take_pass")
        assert not engine.assign().held
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [doomed.connection.info.backend_pid])
        assert engine.assign().assigned == 1

    def test_does_nothing_in_a_transaction_that_has_not_taken_the_pass(self, engine: Engine) -> None:
        engine.worker()
        task_id = engine.create()
        engine.assign(limit=0)  # a pass leaves nothing behind in its session
        engine.session.rows("assign_due_tasks", pass_over(["default"]))
        assert engine.task(task_id).status == "PENDING"

    def test_is_not_held_up_by_beats_and_holds_none_up(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        engine.create()
        beating, passing = open_session(), open_session()
        with transaction(beating):
            assert heartbeats.beat(beating, worker, held={}, prefetch=0)
            with transaction(passing):
                passing.rows("take_pass")
                passing.rows("assign_due_tasks", pass_over(["default"]))
                assert heartbeats.beat(beating, worker, held={}, prefetch=0)

    def test_gives_nothing_to_a_worker_that_is_declared_dead_meanwhile(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker, task_id = engine.worker(), engine.create()
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with transaction(marking):
            heartbeats.mark_dead(marking, worker)
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
        assert scheduler.answer().assigned == 0
        assert engine.task(task_id).status == "PENDING"

    def test_holds_off_the_mark_of_a_death_until_recovery_can_see_what_it_gave(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker, task_id = engine.worker(), engine.create()
        marking, passing = open_session(), open_session()
        with transaction(passing):
            passing.rows("take_pass")
            passing.rows("assign_due_tasks", pass_over(["default"]))
            observer = rival_on(marking, lambda session: heartbeats.mark_dead(session, worker))
            observer.waits(engine.session)
        assert observer.answer()
        assert [row.task_id for row in engine.recover()] == [task_id]
        assert engine.task(task_id).status == "PENDING"

    def test_leaves_a_task_that_was_edited_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The pass waits for a worker's row with its snapshot taken; meanwhile the tasks it saw change."""
        worker = engine.worker(slots=10)
        later, moved, cancelled, kept = engine.create_many(4)
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            services.edit_task(later, {"schedule_at": in_seconds(60)}, actor="test")
            services.edit_task(moved, {"queue": "elsewhere"}, actor="test")
            services.cancel_task(cancelled, actor="test")
        assert scheduler.answer().assigned == 1
        assert engine.statuses([later, moved, cancelled, kept]) == ["PENDING", "PENDING", "CANCELLED", "SCHEDULED"]

    def test_parks_no_task_that_was_moved_to_another_queue_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """In its new queue nobody holds the key, so nobody would ever wake it."""
        worker = engine.worker(slots=10)
        first, second = engine.create_many(2, concurrency_key="k")
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            services.edit_task(second, {"queue": "elsewhere"}, actor="test")
        assert scheduler.answer().assigned == 1
        assert engine.task(first).status == "SCHEDULED"
        assert engine.task(second).key_blocked is False
        assert engine.violations() == {}


class TestTakePass:
    def test_gives_the_pass_to_one_transaction_at_a_time(self, open_session: OpenSession) -> None:
        first, second = open_session(), open_session()
        with transaction(first), transaction(second):
            assert [session.rows("take_pass")[0][1] for session in (first, second)] == [True, False]
        with transaction(second):
            assert second.rows("take_pass")[0][1] is True

    def test_marks_the_transaction_for_the_statements_behind_it(self, session: Session) -> None:
        marks = "SELECT current_setting('scheduler.pass', true), current_setting('synchronous_commit')"
        with transaction(session):
            session.rows("take_pass")
            assert session.fetch(marks) == [("held", "off")]
        assert session.fetch(marks) == [("", "on")]


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
        for task_id, columns in ((parked, {"key_blocked": True}), (suspect, {"crash_count": 1})):
            Task.objects.exclude(pk=task_id).update(schedule_at=in_seconds(60), run_at=in_seconds(60))
            Task.objects.filter(pk=task_id).update(run_at=in_seconds(-1), **columns)
            assert ask()

    def test_is_what_the_worker_owns(self, engine: Engine) -> None:
        worker = engine.worker()
        engine.running(worker)
        other = engine.worker()
        asked = {each: assignment.anything_due(engine.session, worker_id=each, queues=None) for each in (worker, other)}
        assert asked == {worker: True, other: False}


class TestSuspects:
    def test_are_given_to_a_worker_one_at_a_time(self, engine: Engine) -> None:
        waiting = suspects(engine, {}, {}, {}, {})
        one, other = engine.worker(slots=10), engine.worker(slots=10)
        assert engine.assign().assigned == 2
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("worker_id", flat=True)) == {
            one: 1,
            other: 1,
        }
        assert not engine.assign().moved
        [attempt] = engine.start(one)
        engine.finish(one, attempt, SUCCEEDED)
        assert engine.assign().assigned == 1
        assert Counter(engine.statuses(waiting)) == {"SUCCESS": 1, "SCHEDULED": 2, "PENDING": 1}

    def test_are_not_taken_for_ordinary_ones_of_their_queue(self, engine: Engine) -> None:
        ordinary, waiting = engine.create(), suspects(engine, {"priority": 1}, {"priority": 1}, {"priority": 1})
        for task_id in waiting:
            engine.session.execute("UPDATE tasks SET priority = 0, run_at = now() WHERE id = %s", [task_id])
        engine.worker(slots=10)
        engine.assign()
        assert engine.task(ordinary).status == "SCHEDULED"
        assert Counter(engine.statuses(waiting)) == {"SCHEDULED": 1, "PENDING": 2}

    def test_are_spread_over_workers_however_unevenly_these_are_loaded(self, engine: Engine) -> None:
        waiting = suspects(engine, {}, {})
        for task_id in waiting:
            engine.move(task_id, run_at=timedelta(hours=1))
        loaded = engine.worker(slots=9)
        engine.create_many(3)
        engine.assign()
        idle = engine.worker(slots=9)
        for task_id in waiting:
            engine.move(task_id, run_at=-timedelta(hours=1))
        assert engine.assign().assigned == 2
        assert {engine.task(task_id).worker_id for task_id in waiting} == {loaded, idle}

    def test_go_to_a_busy_worker_rather_than_beside_another_suspect(self, engine: Engine) -> None:
        first, second = suspects(engine, {}, {"priority": -1})
        quiet = engine.worker(slots=9)
        engine.assign()
        assert engine.task(first).worker_id == quiet
        assert engine.task(second).status == "PENDING"
        busy = engine.worker(slots=9, queues=["busy"])
        engine.create_many(5, queue="busy")
        engine.move(second, run_at=timedelta(hours=1))
        engine.assign()
        engine.session.execute("UPDATE worker_heartbeats SET queues = NULL")
        engine.move(second, run_at=-timedelta(hours=1))
        engine.assign()
        assert engine.task(second).worker_id == busy

    def test_that_somebody_holds_are_passed_over(self, engine: Engine, open_session: OpenSession) -> None:
        first, second = suspects(engine, {"priority": 1}, {})
        engine.worker(slots=1)
        with locked(open_session(), "tasks", "id", first):
            scheduler = rival_on(open_session(), lambda session: Engine(session).assign())
            assert scheduler.answer().assigned == 1
        assert engine.statuses([first, second]) == ["PENDING", "SCHEDULED"]

    def test_go_with_ordinary_tasks_and_take_no_room_from_them(self, engine: Engine) -> None:
        suspects(engine, {}, {}, {})
        engine.create_many(10)
        engine.worker(slots=4)
        engine.assign()
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("crash_count", flat=True)) == {0: 3, 1: 1}

    def test_of_other_queues_are_not_for_specialists(self, engine: Engine) -> None:
        [task_id] = suspects(engine, {"queue": "mail"})
        engine.worker(queues=["other"])
        assert not engine.assign().moved
        mails = engine.worker(queues=["mail"])
        engine.assign()
        assert engine.task(task_id).worker_id == mails

    def test_that_have_expired_are_left_to_expiry(self, engine: Engine) -> None:
        [task_id] = suspects(engine, {})
        engine.move(task_id, expires_at=timedelta(0))
        engine.worker()
        assert not engine.assign().moved
        assert engine.task(task_id).status == "PENDING"

    def test_of_a_paused_queue_wait(self, engine: Engine) -> None:
        [task_id] = suspects(engine, {"queue": "mail"})
        engine.worker()
        pause_queue("mail", actor="test")
        assert not engine.assign().moved
        assert engine.task(task_id).status == "PENDING"

    def test_are_ordered_like_all_others(self, engine: Engine) -> None:
        ordinary, urgent = suspects(engine, {}, {"priority": 9})
        engine.worker(slots=1)
        engine.assign()
        assert engine.statuses([ordinary, urgent]) == ["PENDING", "SCHEDULED"]

    def test_with_a_concurrency_key_wait_for_its_holder(self, engine: Engine) -> None:
        [task_id] = suspects(engine, {"concurrency_key": "k"})
        holder = engine.create(concurrency_key="k", priority=50)
        engine.worker(slots=10)
        engine.assign()
        engine.assign()
        assert engine.statuses([holder, task_id]) == ["SCHEDULED", "PENDING"]


class TestSurveyDue:
    def test_lists_the_head_of_every_queue_and_priority(self, engine: Engine) -> None:
        for queue, priority in [("a", 5), ("a", 0), ("b", -3)]:
            engine.create_many(3, queue=queue, priority=priority)
        survey = survey_due(engine.session)
        assert {(head.queue, head.priority) for head in survey.heads} == {("a", 5), ("a", 0), ("b", -3)}
        assert all(head.due_in <= 0 for head in survey.heads)

    def test_tells_when_the_next_one_falls_due(self, engine: Engine) -> None:
        engine.create(schedule_at=in_seconds(30))
        engine.create(schedule_at=in_seconds(90), queue="other")
        survey = survey_due(engine.session)
        assert survey.next_due_in == pytest.approx(30, abs=2)
        assert not survey.has_due

    def test_knows_nothing_due_without_a_worker_that_serves_it(self, engine: Engine) -> None:
        engine.create(queue="mail")
        assert not survey_due(engine.session).has_due
        engine.worker(queues=["other"])
        assert not survey_due(engine.session).has_due
        engine.worker(queues=["mail", "more"])
        assert survey_due(engine.session).has_due

    def test_leaves_out_a_queue_paused_for_good(self, engine: Engine) -> None:
        engine.create(queue="held")
        pause_queue("held", actor="test")
        assert survey_due(engine.session).heads == []

    def test_takes_the_end_of_a_pause_for_a_due_time(self, engine: Engine) -> None:
        engine.create(queue="held")
        pause_queue("held", actor="test", until=in_seconds(40))
        assert survey_due(engine.session).next_due_in == pytest.approx(40, abs=2)

    def test_lists_suspects_as_one_head_of_no_queue(self, engine: Engine) -> None:
        suspects(engine, {"queue": "a"}, {"queue": "b"})
        [head] = survey_due(engine.session).heads
        assert (head.queue, head.priority) == (None, None)
        assert head.due_in <= 0

    def test_does_not_list_what_is_parked(self, engine: Engine) -> None:
        engine.worker(slots=1)
        engine.create_many(2, concurrency_key="k")
        engine.assign()
        assert survey_due(engine.session).heads == []


class TestExpireTasks:
    def test_fails_waiting_tasks_past_their_expiry(self, engine: Engine) -> None:
        pending = engine.create(expires_at=in_seconds(60))
        scheduled = engine.create(expires_at=in_seconds(60))
        kept = engine.create(expires_at=in_seconds(60))
        engine.session.execute("UPDATE tasks SET run_at = now() - interval '1 minute' WHERE id = %s", [scheduled])
        engine.worker(slots=1)
        engine.assign()
        for task_id in (pending, scheduled):
            engine.move(task_id, expires_at=-timedelta(milliseconds=1))
        assert engine.statuses([pending, scheduled]) == ["PENDING", "SCHEDULED"]
        versions = {task_id: engine.task(task_id).version for task_id in (pending, scheduled)}
        assert expire_tasks(engine.session) == 2
        for task_id in (pending, scheduled):
            task = engine.task(task_id)
            assert (task.status, task.end_reason, task.attempt) == ("FAILED", "EXPIRED", 0)
            assert task.version == versions[task_id] + 1
            assert task.finished_at is not None
            assert engine.actions(task_id) == ["task.expired"]
        assert engine.task(kept).status == "PENDING"
        assert engine.executions(pending) == []
        assert engine.violations() == {}

    def test_leaves_a_running_attempt_alone(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, expires_at=in_seconds(60))
        engine.move(attempt.task_id, expires_at=-timedelta(seconds=1))
        assert expire_tasks(engine.session) == 0
        assert engine.finish(worker, attempt, SUCCEEDED) == "SUCCESS"

    def test_gives_the_room_of_an_assigned_task_back(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        expiring = engine.assigned(worker, expires_at=in_seconds(60))
        waiting = engine.create()
        assert engine.assign().assigned == 0
        engine.move(expiring, expires_at=-timedelta(seconds=1))
        expire_tasks(engine.session)
        engine.assign()
        assert engine.task(waiting).worker_id == worker

    def test_works_in_batches(self, engine: Engine) -> None:
        for task_id in engine.create_many(5, expires_at=in_seconds(60)):
            engine.move(task_id, expires_at=-timedelta(seconds=1))
        assert [expire_tasks(engine.session, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_skips_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        task_id = engine.create(expires_at=in_seconds(60))
        engine.move(task_id, expires_at=-timedelta(seconds=1))
        with locked(open_session(), "tasks", "id", task_id):
            assert expire_tasks(engine.session) == 0
        assert expire_tasks(engine.session) == 1

    def test_leaves_what_changed_between_its_look_and_its_lock(self, engine: Engine, open_session: OpenSession) -> None:
        """One task is started in time after all, another is given more time."""
        worker = engine.worker()
        started, prolonged, kept = engine.create_many(3)
        engine.assign()
        expiring = open_session()
        engine.move(started, expires_at=timedelta(hours=1))
        engine.session.execute(
            "UPDATE tasks SET expires_at = now() - interval '1 s' WHERE id = ANY(%s)", [[prolonged, kept]]
        )
        with looks_held(open_session()):
            engine.session.execute("UPDATE tasks SET expires_at = now() WHERE id = %s", [started])
            late = rival_on(
                expiring,
                lambda session: held_after_its_look(session, "expire_tasks", "WHERE expires_at <= now()", {"limit": 9}),
            )
            late.waits(engine.session)
            engine.session.execute(
                "UPDATE tasks SET expires_at = now() + interval '1 hour' WHERE id = ANY(%s)", [[started, prolonged]]
            )
            assert [attempt.task_id for attempt in engine.start(worker, limit=1)] == [started]
            engine.move(started, expires_at=-timedelta(hours=1))
        assert [row[0] for row in late.answer()] == [kept]
        assert engine.statuses([started, prolonged, kept]) == ["RUNNING", "SCHEDULED", "FAILED"]


class TestHandBackAssigned:
    @pytest.mark.parametrize(
        ("change", "stale"), [("started", False), ("given to another", False), ("given to another", True)]
    )
    def test_leaves_what_changed_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession, change: str, stale: bool
    ) -> None:
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker)
        returning = open_session()
        parameters = {"worker_id": worker, "queue": None, "older_than": None, "limit": 9, "actor": "a", "reason": "r"}
        if stale:
            engine.worker(slots=1, queues=["default"])
            engine.move(task_id, assigned_at=timedelta(seconds=-30))
            parameters |= {"worker_id": None, "older_than": 2.0}
        with looks_held(open_session()):
            late = rival_on(
                returning,
                lambda session: held_after_its_look(
                    session, "hand_back_assigned", "WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL", parameters
                ),
            )
            late.waits(engine.session)
            if change == "started":
                assert len(engine.start(worker)) == 1
            else:
                assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="r") == 1
                heartbeats.begin_drain(engine.session, worker)
                engine.worker(slots=1)
                engine.assign()
                assert engine.owner_of(task_id) not in (None, worker)
        assert late.answer() == []
        assert engine.task(task_id).status == ("RUNNING" if change == "started" else "SCHEDULED")

    def test_gives_back_what_a_draining_worker_has_not_started(self, engine: Engine) -> None:
        worker, other = engine.worker(slots=2), engine.worker(slots=1)
        tasks = engine.create_many(3)
        engine.assign()
        started = {attempt.task_id for attempt in engine.start(worker, limit=1)}
        heartbeats.begin_drain(engine.session, worker)
        assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="its worker drains") == 1
        [returned] = Task.objects.filter(status="PENDING")
        assert (returned.worker_id, returned.assigned_at, returned.attempt, returned.version) == (None, None, 0, 3)
        assert engine.actions(returned.pk) == ["task.handed_back"]
        assert {t for t in tasks if engine.task(t).status == "RUNNING"} == started
        assert Task.objects.filter(worker_id=other, status="SCHEDULED").count() == 1

    def test_moves_a_stale_assignment_to_where_a_slot_is_free(self, engine: Engine) -> None:
        sleepy = engine.worker(slots=1)
        task_id = engine.assigned(sleepy)
        idle = engine.worker(slots=1)
        assert assignment.hand_back_stale(engine.session) == 0
        engine.move(task_id, assigned_at=-assignment.STALE_AFTER - timedelta(milliseconds=1))
        assert assignment.hand_back_stale(engine.session) == 1
        assert engine.task(task_id).status == "PENDING"
        assert engine.worker_state(idle) == "ACTIVE"

    @pytest.mark.parametrize("case", ["nobody else", "itself", "no free slot", "other queue", "draining"])
    def test_leaves_a_stale_assignment_where_nobody_could_do_better(self, engine: Engine, case: str) -> None:
        worker = engine.worker(slots=3 if case == "itself" else 1, prefetch=1)
        if case == "no free slot":
            engine.worker(slots=1)
            engine.create_many(2)
            engine.assign()
        tasks = engine.create_many(1)
        engine.assign()
        if case == "other queue":
            engine.worker(queues=["other"])
        elif case == "draining":
            heartbeats.begin_drain(engine.session, engine.worker())
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '1 hour'")
        stale = assignment.hand_back_stale(engine.session)
        assert stale == 0, worker
        assert engine.statuses(tasks) == ["SCHEDULED"]

    def test_does_not_touch_what_is_running(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        attempt = engine.running(worker)
        engine.worker(slots=1)
        engine.move(attempt.task_id, assigned_at=-timedelta(hours=1))
        assert assignment.hand_back_stale(engine.session) == 0
        assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="x") == 0

    def test_loses_to_a_start_without_waiting_for_it(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker)
        starting = open_session()
        with transaction(starting):
            assert len(Engine(starting).start(worker)) == 1
            assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="x") == 0
        assert engine.task(task_id).status == "RUNNING"

    def test_of_a_paused_queue_waits_for_the_running_pass(self, engine: Engine, open_session: OpenSession) -> None:
        """No assignment that has not seen the pause can commit after the tasks were taken back."""
        engine.worker()
        tasks = engine.create_many(3)
        passing = open_session()
        with transaction(passing):
            passing.rows("take_pass")
            passing.rows("assign_due_tasks", pass_over(["default"]))
            pausing = rival(lambda: pause_queue("default", actor="test"))
            pausing.waits(engine.session)
        pausing.answer()
        assert engine.statuses(tasks) == ["PENDING"] * 3
        assert not engine.assign().moved


class TestHeldWorkerRows:
    def test_are_locked_in_one_order_so_that_two_markers_cannot_deadlock_with_a_pass(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Whatever the plan: read without an index, the rows come as they lie, the higher id first."""
        low, high = sorted([engine.worker(), engine.worker()])
        engine.session.execute("UPDATE worker_heartbeats SET name = 'moved' WHERE worker_id = %s", [low])
        engine.create_many(4)
        marking, passing = open_session(), open_session()
        for setting in ("enable_indexscan = off", "enable_bitmapscan = off", "enable_seqscan = on"):
            passing.execute(f"SET {setting}")
        survey = survey_due(passing)
        epoch = passing.epoch
        with transaction(marking):
            heartbeats.mark_dead(marking, low)
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            heartbeats.mark_dead(marking, high)  # would close a circle, had the pass locked the higher id first
        assert scheduler.answer().assigned == 0
        assert passing.epoch == epoch
