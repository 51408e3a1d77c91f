"""Limits of targets: at most so many tasks that call a host are assigned or running, and none while it backs off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from flow_app import opening
from flow_app.backing_off import LONGEST, back_off_targets
from flow_app.models import Queue, Target
from flow_app.outlook import Outlook
from flow_app.queues import edit_queue, pause_queue
from flow_app.targets import Rules, delete_target, put_target
from flow_app.why import why
from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import FAILED, SUCCEEDED, Engine, endings
from tests.support.races import locked, rival, rival_on, transaction
from workers_app.recorder import Recorder

OpenSession = Callable[[], Session]
HOST = "api.example.com"


def limit(most: int | None, host: str = HOST) -> None:
    put_target(host, Rules(max_concurrency=most), actor="test")


def owned(host: str = HOST) -> int:
    return Task.objects.filter(target=host, status__in=["SCHEDULED", "RUNNING"]).count()


def gated() -> int:
    return Task.objects.filter(gate=Gate.TARGET).count()


def back_off(engine: Engine, seconds: float, host: str = HOST) -> list[str]:
    return back_off_targets(engine.session, [(host, seconds)], actor="test")


class TestLookAtTargets:
    def test_hold_over_queues_priorities_and_workers(self, engine: Engine) -> None:
        limit(3)
        for queues in (None, ["a"], ["a", "b"]):
            engine.worker(slots=9, queues=queues)
        for queue, priority in (("a", 0), ("b", 1), ("a", 2), ("c", -1)):
            engine.calls(4, queue=queue, priority=priority)
        engine.settle()
        assert owned() == 3
        assert engine.violations() == {}

    def test_leave_other_hosts_and_other_tasks_alone(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        engine.calls(20, priority=9)
        engine.calls(2, "other.example")
        engine.create_many(2)
        engine.settle()
        assert (owned(), owned("other.example"), Task.objects.filter(status="SCHEDULED").count()) == (1, 2, 5)

    def test_give_room_again_with_every_end_and_every_retry(self, engine: Engine) -> None:
        limit(2)
        worker = engine.worker(slots=9)
        engine.calls(5)
        engine.settle()
        first, second = engine.start(worker)
        engine.finish(worker, first, SUCCEEDED)
        engine.finish(worker, second, FAILED)
        assert owned() == 0
        engine.settle()
        assert owned() == 2

    def test_hold_for_suspects(self, engine: Engine) -> None:
        limit(1)
        for _ in range(3):
            engine.worker()
        for task_id in engine.calls(3):
            engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        engine.settle()
        assert owned() == 1

    def test_hold_for_the_first_tasks_of_concurrency_keys(self, engine: Engine) -> None:
        limit(2)
        engine.worker(slots=9)
        for key in "abcd":
            engine.calls(2, concurrency_key=key)
        engine.settle()
        assert owned() == 2
        assert engine.violations() == {}

    def test_that_hold_the_first_of_a_key_let_its_others_go_first(self, engine: Engine) -> None:
        limit(0)
        engine.worker(slots=9)
        engine.calls(concurrency_key="k", priority=1)
        [other] = engine.create_many(1, concurrency_key="k")
        engine.settle()
        assert engine.task(other).status == "SCHEDULED"

    def test_hold_together_with_those_of_queues(self, engine: Engine) -> None:
        limit(3)
        edit_queue("a", {"maxConcurrency": 2}, actor="test")
        engine.worker(slots=20)
        engine.calls(5, queue="a")
        engine.calls(5, queue="b")
        engine.settle()
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("queue", flat=True)) == {"a": 2, "b": 1}

    def test_of_zero_close_the_host(self, engine: Engine) -> None:
        limit(0)
        engine.worker()
        engine.calls()
        engine.settle()
        assert (owned(), gated()) == (0, 1)
        limit(None)
        engine.settle()
        assert owned() == 1

    def test_that_are_raised_are_used_at_once(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        limit(4)
        opening.open_known(engine.session, Outlook())
        assert engine.assign().assigned == 3

    def test_that_are_lowered_take_back_what_has_not_started_and_start_nothing(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        running = engine.start(worker, limit=3)
        limit(2)
        assert owned() == 3
        engine.settle()
        assert owned() == 3
        engine.finish(worker, running[0], SUCCEEDED)
        engine.settle()
        assert owned() == 2
        engine.finish(worker, running[1], SUCCEEDED)
        engine.settle()
        assert owned() == 2
        assert engine.violations() == {}

    def test_that_are_deleted_hold_nothing_any_more(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        engine.calls(5)
        engine.settle()
        assert gated() == 4
        delete_target(HOST, actor="test")
        engine.settle()
        assert (owned(), gated()) == (5, 0)

    def test_follow_a_task_to_its_new_host(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        _, second = engine.calls(2)
        engine.settle()
        services.edit_task(second, {"payload": {"url": "http://other.example/"}}, actor="test")
        engine.settle()
        assert (owned(), owned("other.example"), gated()) == (1, 1, 0)

    def test_survive_a_worker_that_dies(self, engine: Engine) -> None:
        limit(1)
        worker, other = engine.worker(slots=9), engine.worker(slots=9)
        engine.calls(3)
        engine.settle()
        [holder] = Task.objects.filter(status="SCHEDULED").values_list("worker_id", flat=True)
        engine.start(holder)
        engine.settle()
        assert owned() == 1
        engine.lose(holder)
        engine.settle()
        assert owned() == 1
        assert {worker, other} >= {Task.objects.get(status="SCHEDULED").worker_id}

    def test_wait_for_a_pass_that_has_not_seen_them(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=9)
        engine.calls(3)
        with transaction(passing := open_session()):
            passing.rows("take_pass")
            setting = rival(lambda: limit(1))
            setting.waits(engine.session)
        setting.answer()
        engine.settle()
        assert owned() == 1


class TestParkBehindTargets:
    def test_are_read_by_no_further_pass(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=4)
        engine.calls(50, priority=100)
        engine.settle()
        assert gated() == 49
        assert not engine.assign().moved

    def test_are_looked_for_beyond_what_a_pass_locks(self, engine: Engine) -> None:
        limit(0)
        engine.worker(slots=1)
        engine.calls(30)
        [plain] = engine.create_many(1)
        assert engine.assign().parked == 30
        assert engine.assign().assigned == 1
        assert engine.task(plain).status == "SCHEDULED"


class TestOpenTargets:
    def test_come_in_order_of_priority_and_due_time(self, engine: Engine) -> None:
        limit(0)
        engine.worker(slots=9)
        low, high = engine.calls(2), engine.calls(2, priority=5)
        engine.settle()
        limit(3)
        engine.settle()
        assert engine.statuses([*high, *low]) == ["SCHEDULED", "SCHEDULED", "SCHEDULED", "PENDING"]

    def test_are_found_by_a_sweep_when_nobody_knows_of_them(self, engine: Engine) -> None:
        limit(0)
        engine.worker(slots=9)
        for host in ("a", "b", "c"):
            limit(0, host)
            engine.calls(2, host)
        engine.settle()
        for host in ("a", "b", "c"):
            limit(1, host)
        outlook = Outlook(gated=False)
        assert opening.Sweeper(outlook).sweep(engine.session) == 3
        assert outlook.gated

    def test_are_opened_host_by_host_whatever_their_number(self, engine: Engine) -> None:
        engine.worker(slots=9)
        for host in ("a", "b", "c"):
            limit(0, host)
            engine.calls(2, host)
        engine.settle()
        Target.objects.update(max_concurrency=1)
        first = opening.open_targets(engine.session, limit=2)
        assert (first.last_host, first.opened) == ("b", 2)
        rest = opening.open_targets(engine.session, after="b", limit=2)
        assert (rest.last_host, rest.opened) == (None, 1)

    def test_that_are_cancelled_or_in_a_paused_queue_hold_nobody_up(self, engine: Engine) -> None:
        limit(0)
        engine.worker(slots=9)
        engine.calls(2, queue="paused")
        [cancelled] = engine.calls()
        [last] = engine.calls(queue="b")
        engine.settle()
        services.cancel_task(cancelled, actor="test")
        pause_queue("paused", actor="test")
        limit(9)
        engine.settle()
        assert (engine.task(last).status, owned()) == ("SCHEDULED", 1)
        Queue.objects.all().delete()
        engine.settle()
        assert owned() == 3


class TestBackOffTargets:
    def test_stops_all_calls_of_the_host_until_then(self, engine: Engine) -> None:
        limit(None)
        engine.worker(slots=9)
        engine.calls(3)
        assert back_off(engine, 3600) == [HOST]
        engine.settle()
        assert (owned(), gated()) == (0, 3)
        Target.objects.update(backing_off_until=None)
        engine.settle()
        assert owned() == 3

    def test_stops_those_that_a_limit_would_let_pass_and_opens_none(self, engine: Engine) -> None:
        limit(9)
        engine.worker(slots=9)
        engine.calls(3)
        back_off(engine, 3600)
        engine.settle()
        assert (owned(), gated()) == (0, 3)
        assert opening.open_targets(engine.session).opened == 0

    def test_takes_back_what_has_not_started(self, engine: Engine) -> None:
        limit(None)
        worker = engine.worker(slots=9)
        engine.calls(3)
        engine.settle()
        engine.start(worker, limit=1)
        back_off(engine, 60)
        assert owned() == 1

    def test_says_when_the_next_one_may_come(self, engine: Engine) -> None:
        limit(None)
        engine.worker(slots=9)
        engine.calls(1)
        back_off(engine, 60)
        engine.settle()
        next_in = opening.open_known(engine.session, Outlook())
        assert 0 < next_in <= 60

    def test_never_shortens_what_was_asked_before_nor_goes_beyond_an_hour(self, engine: Engine) -> None:
        limit(None)
        assert back_off(engine, 1e9) == [HOST]
        until = Target.objects.get().backing_off_until
        assert until is not None
        assert (until - Target.objects.get().created_at) <= LONGEST * 1.01
        assert back_off(engine, 5) == []
        assert Target.objects.get().backing_off_until == until

    def test_comes_before_the_end_of_the_attempt_that_was_told_so(self, engine: Engine) -> None:
        limit(None)
        worker = engine.worker(slots=9)
        engine.calls(2)
        engine.settle()
        first, _ = engine.start(worker)
        told = replace(FAILED, retry_after=timedelta(seconds=30), busy_target=HOST)
        Recorder(engine.session, worker, lambda _: None).record(endings([first], told))
        assert Target.objects.get().is_backing_off
        assert Task.objects.get(pk=first.task_id).status == "PENDING"

    def test_takes_the_longest_of_several(self, engine: Engine) -> None:
        limit(None)
        back_off_targets(engine.session, [(HOST, 5.0), (HOST, 500.0), (HOST, 50.0)], actor="test")
        [(left,)] = engine.session.fetch("SELECT extract(epoch FROM backing_off_until - now())::int FROM targets")
        assert 400 < left <= 500

    @pytest.mark.parametrize("rules", [None, Rules(respect_retry_after=False)])
    def test_is_nothing_to_hosts_that_nobody_wants_it_of(self, engine: Engine, rules: Rules | None) -> None:
        if rules is not None:
            put_target(HOST, rules, actor="test")
        engine.worker(slots=9)
        engine.calls(3)
        assert back_off(engine, 60) == []
        engine.settle()
        assert owned() == 3

    def test_is_ended_by_rules_that_do_not_want_it(self, engine: Engine) -> None:
        limit(None)
        engine.worker(slots=9)
        engine.calls()
        back_off(engine, 60)
        put_target(HOST, Rules(respect_retry_after=False), actor="test")
        engine.settle()
        assert owned() == 1

    def test_does_not_wait_for_a_frozen_pass_for_ever(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("flow_app.backing_off.WAITS", 1)
        limit(None)
        with transaction(passing := open_session()):
            passing.rows("take_pass")
            assert back_off(engine, 60) == [HOST]

    def test_waits_for_whoever_holds_the_rules(self, engine: Engine, open_session: OpenSession) -> None:
        limit(None)
        with locked(open_session(), "targets", "host", HOST):
            waiting = rival_on(open_session(), lambda session: back_off_targets(session, [(HOST, 5)], actor="test"))
            waiting.waits(engine.session)
        assert waiting.answer() == [HOST]


class TestWhy:
    def codes(self, task_id: UUID) -> set[str]:
        return {reason.code for reason in why(Task.objects.get(pk=task_id))}

    def test_names_the_limit_of_the_target(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        _, second = engine.calls(2)
        engine.settle()
        [reason] = [each for each in why(Task.objects.get(pk=second)) if each.code == "TARGET_LIMIT"]
        assert reason.detail == f"1 tasks that call {HOST} are assigned or running; its maxConcurrency is 1"

    def test_names_its_back_off_and_its_end(self, engine: Engine) -> None:
        limit(None)
        engine.worker(slots=9)
        [task] = engine.calls()
        back_off(engine, 60)
        [reason] = [each for each in why(Task.objects.get(pk=task)) if each.code == "TARGET_BACKING_OFF"]
        assert reason.until == Target.objects.get().backing_off_until

    def test_is_silent_where_there_is_room(self, engine: Engine) -> None:
        limit(9)
        engine.worker(slots=9)
        [task] = engine.calls()
        assert not self.codes(task) & {"TARGET_LIMIT", "TARGET_BACKING_OFF"}
