"""How the pass gives out tasks that have lost a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from flow_app.queues import pause_queue
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.ears import Ear
from tests.support.engine import SUCCEEDED, Engine
from tests.support.races import locked, rival_on

OpenSession = Callable[[], Session]


class TestSuspects:
    def test_are_given_to_a_worker_one_at_a_time(self, engine: Engine) -> None:
        waiting = engine.suspects({}, {}, {}, {})
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

    def test_are_run_one_after_the_other_without_a_rest(self, engine: Engine, open_session: OpenSession) -> None:
        """The worker that has one is to notify the schedulers of its end."""
        engine.suspects({}, {})
        worker, ear = engine.worker(slots=10), Ear(open_session())
        engine.assign()
        engine.assign()
        ear.hears(lambda heard: any(f"+{worker}" in message for _, message in heard))

    def test_are_not_taken_for_ordinary_ones_of_their_queue(self, engine: Engine) -> None:
        ordinary, waiting = engine.create(), engine.suspects({"priority": 1}, {"priority": 1}, {"priority": 1})
        for task_id in waiting:
            engine.session.execute("UPDATE tasks SET priority = 0, run_at = now() WHERE id = %s", [task_id])
        engine.worker(slots=10)
        engine.assign()
        assert engine.task(ordinary).status == "SCHEDULED"
        assert Counter(engine.statuses(waiting)) == {"SCHEDULED": 1, "PENDING": 2}

    def test_are_spread_over_workers_however_unevenly_these_are_loaded(self, engine: Engine) -> None:
        waiting = engine.suspects({}, {})
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
        first, second = engine.suspects({}, {"priority": -1})
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
        first, second = engine.suspects({"priority": 1}, {})
        engine.worker(slots=1)
        with locked(open_session(), "tasks", "id", first):
            scheduler = rival_on(open_session(), lambda session: Engine(session).assign())
            assert scheduler.answer().assigned == 1
        assert engine.statuses([first, second]) == ["PENDING", "SCHEDULED"]

    def test_go_with_ordinary_tasks_and_take_no_room_from_them(self, engine: Engine) -> None:
        engine.suspects({}, {}, {})
        engine.create_many(10)
        engine.worker(slots=4)
        engine.assign()
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("crash_count", flat=True)) == {0: 3, 1: 1}

    def test_of_other_queues_are_not_for_specialists(self, engine: Engine) -> None:
        [task_id] = engine.suspects({"queue": "mail"})
        engine.worker(queues=["other"])
        assert not engine.assign().moved
        mails = engine.worker(queues=["mail"])
        engine.assign()
        assert engine.task(task_id).worker_id == mails

    def test_that_have_expired_are_left_to_expiry(self, engine: Engine) -> None:
        [task_id] = engine.suspects({})
        engine.move(task_id, expires_at=timedelta(0))
        engine.worker()
        assert not engine.assign().moved
        assert engine.task(task_id).status == "PENDING"

    def test_of_a_paused_queue_wait(self, engine: Engine) -> None:
        [task_id] = engine.suspects({"queue": "mail"})
        engine.worker()
        pause_queue("mail", actor="test")
        assert not engine.assign().moved
        assert engine.task(task_id).status == "PENDING"

    def test_are_ordered_like_all_others(self, engine: Engine) -> None:
        ordinary, urgent = engine.suspects({}, {"priority": 9})
        engine.worker(slots=1)
        engine.assign()
        assert engine.statuses([ordinary, urgent]) == ["PENDING", "SCHEDULED"]

    def test_with_a_concurrency_key_wait_for_its_holder(self, engine: Engine) -> None:
        [task_id] = engine.suspects({"concurrency_key": "k"})
        holder = engine.create(concurrency_key="k", priority=50)
        engine.worker(slots=10)
        engine.assign()
        engine.assign()
        assert engine.statuses([holder, task_id]) == ["SCHEDULED", "PENDING"]

    def test_that_wait_for_a_worker_of_their_own_keep_what_waits_for_their_key_out_of_the_way(
        self, engine: Engine
    ) -> None:
        one, other = engine.suspects({"priority": 9}, {"concurrency_key": "k"})
        engine.worker(slots=4)
        behind = engine.create_many(9, concurrency_key="k")
        others = engine.create_many(9)
        while engine.assign().moved:
            pass
        assert engine.statuses([one, other]) == ["SCHEDULED", "PENDING"]
        assert set(engine.statuses(behind)) == {"PENDING"}
        assert engine.statuses(others).count("SCHEDULED") == 3
