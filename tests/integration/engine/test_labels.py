"""Tasks that require labels of their worker: who is given them, and what those that nobody can run cost others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flow_app import assignment
from flow_app.matching import Candidate
from flow_app.outlook import Head, labelled_places
from flow_app.queues import edit_queue, pause_queue
from flow_app.survey import survey_due
from flow_app.why import why
from tasks_app import creating, labels, needs, services
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskNeeds
from tasks_app.needs import Need, add_needs, delete_unused_needs, find_needs, ids_of
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from tasks_app.wakeups import NEW, SCHEDULERS
from tests.support.ears import Ear
from tests.support.engine import SUCCEEDED, Engine, in_seconds, room_of
from tests.support.races import rival_on, transaction
from workers_app import heartbeats

OpenSession = Callable[[], Session]

GPU = {"gpu": "a100"}
NOBODY = {"gpu": "none such"}
NEED = Need('{"x":["y"]}', 1)


def assigned_to(engine: Engine, task_id: UUID) -> UUID | None:
    while engine.assign().moved:
        pass
    return engine.owner_of(task_id)


class TestLabels:
    @pytest.mark.parametrize(
        ("required", "has", "fits"),
        [
            ({}, {}, True),
            (GPU, {}, False),
            (GPU, {"gpu": "a100", "zone": "a"}, True),
            (GPU, {"gpu": "A100"}, False),
            ({"gpu": ["t4", "a100"]}, GPU, True),
            ({"gpu": "a100", "zone": ["a", "b"]}, GPU, False),
            ({"gpu": "a100", "zone": ["a", "b"]}, {"gpu": "a100", "zone": "b"}, True),
            ({'a"b\\': "$.x == 1 || 1 == 1"}, {"x": "1"}, False),
            ({'a"b\\': "ä \U0001f680"}, {'a"b\\': "ä \U0001f680"}, True),
            ({"gpu": ""}, {"gpu": ""}, True),
        ],
    )
    def test_decide_who_is_given_a_task(
        self, engine: Engine, required: dict[str, Any], has: dict[str, str], fits: bool
    ) -> None:
        engine.worker(labels={"other": "x"})
        worker = engine.worker(labels=has)
        task_id = engine.create(required_labels=required)
        assert assigned_to(engine, task_id) == (worker if fits and required else None) or not required
        assert engine.violations() == {}

    def test_mean_in_the_database_what_they_say(self, engine: Engine) -> None:
        values = [None, ["x"], ["y"], ["x", "y"]]
        asked = [{k: v for k, v in (("k", one), ("l", other)) if v} for one in values for other in values]
        had = [{k: v for k, v in (("k", one), ("l", other)) if v} for one in (None, *"xyz") for other in (None, *"xyz")]
        for required in asked:
            condition = labels.condition_of(labels.canonical(required))
            for has in had:
                [(met,)] = engine.session.fetch("SELECT %s::jsonb @@ %s::jsonpath", [json.dumps(has), condition])
                assert bool(met) is all(has.get(key) in values for key, values in required.items())

    def test_leave_workers_with_labels_to_those_who_need_them(self, engine: Engine) -> None:
        special = engine.worker(slots=1, labels=GPU)
        plain = engine.worker(slots=1)
        first, second = engine.create(), engine.create(required_labels=GPU)
        assert engine.assign().assigned == 2
        assert (engine.owner_of(first), engine.owner_of(second)) == (plain, special)

    def test_do_not_change_the_order_within_a_queue(self, engine: Engine) -> None:
        worker = engine.worker(slots=2, labels=GPU)
        tasks = [
            engine.create(priority=priority, required_labels=required)
            for priority, required in ((0, None), (1, GPU), (1, None), (0, GPU))
        ]
        engine.assign()
        assert [engine.owner_of(task_id) for task_id in tasks] == [None, worker, worker, None]

    def test_of_a_suspect_are_kept_and_keep_no_other_suspect_back(self, engine: Engine) -> None:
        tasks = engine.suspects({"priority": 100}, {"priority": 100}, {})
        for task_id in tasks[:2]:
            services.edit_task(task_id, {"required_labels": NOBODY}, actor="me")
        engine.worker()
        assert engine.assign().assigned == 1
        assert engine.owner_of(tasks[2]) is not None
        special = engine.worker(labels=NOBODY)
        engine.assign()
        assert {engine.owner_of(task_id) for task_id in tasks[:2]} == {special, None}
        assert engine.violations() == {}

    def test_of_the_first_of_a_concurrency_key_hold(self, engine: Engine) -> None:
        engine.worker()
        first = engine.create(required_labels=GPU, concurrency_key="k")
        second = engine.create(concurrency_key="k")
        assert not engine.assign().assigned
        special = engine.worker(labels=GPU)
        engine.assign()
        assert (engine.owner_of(first), engine.owner_of(second)) == (special, None)

    def test_of_a_key_that_lets_several_run_leave_the_other_slots_to_others(self, engine: Engine) -> None:
        edit_queue("default", {"perKey": {"maxConcurrency": 2}}, actor="me")
        worker = engine.worker()
        first = engine.create(required_labels=GPU, concurrency_key="k")
        others = [engine.create(concurrency_key="k") for _ in range(3)]
        engine.assign()
        assert [engine.owner_of(each) for each in (first, *others)] == [None, worker, None, None]
        assert not engine.assign().assigned
        special = engine.worker(labels=GPU)
        engine.assign()
        assert [engine.owner_of(each) for each in (first, *others)] == [special, worker, None, None]
        assert engine.violations() == {}

    def test_hold_beside_the_limit_and_the_pause_of_their_queue(self, engine: Engine) -> None:
        engine.worker(labels=GPU)
        engine.create_many(3, required_labels=GPU)
        engine.create_many(3)
        edit_queue("default", {"maxConcurrency": 2}, actor="me")
        while engine.assign().moved:
            pass
        assert Task.objects.filter(status="SCHEDULED").count() == 2
        pause_queue("default", actor="me")
        assert not engine.assign().moved

    def test_may_be_changed_and_taken_away(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.create(required_labels=GPU)
        assert assigned_to(engine, task_id) is None
        services.edit_task(task_id, {"required_labels": None}, actor="me")
        assert assigned_to(engine, task_id) == worker
        services.edit_task(task_id, {"required_labels": GPU}, actor="me")
        assert assigned_to(engine, task_id) is None
        assert engine.violations() == {}

    def test_outlive_a_retry_and_a_clone(self, engine: Engine) -> None:
        worker = engine.worker(labels=GPU)
        attempt = engine.running(worker, required_labels=GPU)
        engine.finish(worker, attempt, SUCCEEDED)
        services.retry_task(attempt.task_id, actor="me")
        clone = services.clone_task(attempt.task_id, actor="me").pk
        engine.lose(worker)
        engine.worker()
        assert assigned_to(engine, attempt.task_id) is assigned_to(engine, clone) is None

    def test_keep_an_assignment_where_no_other_worker_has_them(self, engine: Engine) -> None:
        worker = engine.worker(labels=GPU)
        engine.worker()
        task_id = engine.assigned(worker, required_labels=GPU)
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '1 minute'")
        assert assignment.hand_back_stale(engine.session) == 0
        engine.worker(labels=GPU)
        assert assignment.hand_back_stale(engine.session) == 1
        assert engine.owner_of(task_id) is None

    def test_that_a_worker_lacks_do_not_keep_its_burst_going(self, engine: Engine) -> None:
        worker, special = engine.worker(), engine.worker(labels=GPU)
        engine.create(required_labels=GPU)
        assert not assignment.anything_due(engine.session, worker_id=worker, queues=None)
        assert assignment.anything_due(engine.session, worker_id=special, queues=None)


class TestHeadOfLine:
    """Tasks that nobody can run, in front of all others."""

    def test_costs_a_pass_no_row(self, engine: Engine) -> None:
        engine.worker(slots=9)
        engine.create_many(50, required_labels=NOBODY, priority=100)
        mine = engine.create_many(5) + engine.create_many(4, queue="other")
        assert engine.assign().assigned == 9
        assert engine.statuses(mine) == ["SCHEDULED"] * 9
        assert not survey_due(engine.session).has_due

    def test_costs_no_lock(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=9)
        engine.create_many(50, required_labels=NOBODY, priority=100)
        engine.create()
        engine.assign()
        other = open_session()
        with transaction(other):
            found = other.fetch("SELECT id FROM tasks WHERE needs_id IS NOT NULL FOR UPDATE SKIP LOCKED")
            assert len(found) == 50

    def test_is_passed_over_by_those_who_can_be_run_but_have_no_room(self, engine: Engine) -> None:
        full = engine.worker(slots=1, labels=GPU)
        engine.running(full)
        engine.worker(slots=9)
        engine.create_many(50, required_labels=GPU, priority=100)
        plain = engine.create_many(5)
        assert engine.assign().assigned == 5
        assert engine.statuses(plain) == ["SCHEDULED"] * 5

    def test_of_many_different_needs_leaves_the_others_their_pairs(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = engine.worker(slots=1, labels={"zone": "a"})
        engine.running(full)
        engine.worker(slots=9)
        for number in range(60):
            for priority in (1, 2):
                engine.create(required_labels={"zone": ["a", f"z{number}"]}, queue="evil", priority=priority)
        plain = engine.create()
        found = survey_due(engine.session)
        assert len(found.heads) == 121
        assert sum(head.needs_id is not None for head in found.served) == 100
        engine.assign()
        assert engine.owner_of(plain) is not None


@pytest.mark.usefixtures("committed_db")
class TestWhatWaitsBehindOne:
    """Whatever comes behind the first of its key, which nobody can run, is out of the way of the other tasks."""

    @pytest.mark.parametrize(("most", "count"), [(1, 9), (2, 9), (2, 1)])
    def test_keeps_no_other_task_of_the_queue_from_running(self, engine: Engine, most: int, count: int) -> None:
        edit_queue("default", {"perKey": {"maxConcurrency": most}}, actor="test")
        engine.worker(slots=4)
        first = engine.create(required_labels=NOBODY, concurrency_key="k", priority=9)
        behind = engine.create_many(count, concurrency_key="k", priority=9)
        others = engine.create_many(9)
        while engine.assign().moved:
            pass
        assert engine.statuses([first]) == ["PENDING"]
        assert engine.statuses(behind).count("SCHEDULED") == most - 1
        assert engine.statuses(others).count("SCHEDULED") == 4 - (most - 1)
        assert engine.violations() == {}

    @pytest.mark.parametrize("way_out", ["ended", "cancelled", "put off", "moved"])
    def test_goes_on_when_that_one_is_out_of_its_way(self, engine: Engine, way_out: str) -> None:
        first, behind = self.stuck(engine)
        if way_out == "ended":
            worker = engine.worker(labels=GPU)
            engine.assign()
            [attempt] = engine.start(worker)
            assert attempt.task_id == first
            engine.finish(worker, attempt, SUCCEEDED)
        elif way_out == "cancelled":
            services.cancel_task(first, actor="test")
        else:
            changes = {"schedule_at": in_seconds(3600)} if way_out == "put off" else {"queue": "other"}
            services.edit_task(first, changes, actor="test", versions=None)
        while engine.assign().moved:
            pass
        assert engine.statuses(behind) == ["SCHEDULED", "PENDING", "PENDING"]

    @pytest.mark.parametrize("needs", [True, False])
    def test_comes_behind_it_when_it_can_run(self, engine: Engine, *, needs: bool) -> None:
        first, behind = self.stuck(engine)
        if needs:
            engine.worker(labels=GPU)
        else:
            services.edit_task(first, {"required_labels": None}, actor="test", versions=None)
        while engine.assign().moved:
            pass
        assert engine.statuses([first, *behind]) == ["SCHEDULED", "PENDING", "PENDING", "PENDING"]

    def stuck(self, engine: Engine) -> tuple[UUID, list[UUID]]:
        engine.worker(slots=1)
        first = engine.create(required_labels=GPU, concurrency_key="k")
        behind = engine.create_many(3, concurrency_key="k")
        while engine.assign().moved:
            pass
        assert set(engine.statuses(behind)) == {"PENDING"}
        return first, behind

    def test_is_told_so(self, engine: Engine) -> None:
        engine.worker()
        first = engine.create(required_labels=NOBODY, concurrency_key="k")
        second, third = engine.create_many(2, concurrency_key="k")
        while engine.assign().moved:
            pass
        [reason] = [each for each in why(engine.task(second)) if each.code != "NO_LIVE_SCHEDULER"]
        assert (reason.code, dict(reason.links)) == ("KEY_ORDER", {"task": f"/tasks/{first}"})
        edit_queue("default", {"perKey": {"maxConcurrency": 2}}, actor="test")
        [reason] = [each for each in why(engine.task(third)) if each.code == "KEY_ORDER"]
        assert reason.detail.startswith("2 due tasks come first for concurrency key k, which has room for 2; ")


class TestFindNeeds:
    def test_finds_those_of_lately_and_no_others(self, engine: Engine) -> None:
        with connection.cursor() as cursor:
            made = add_needs(cursor, {"d": NEED, "e": NEED}, most=None)
            engine.session.execute("UPDATE task_needs SET used_at = now() - interval '11 minutes' WHERE digest = 'e'")
            assert find_needs(cursor, ["d", "e", "f"]) == {"d": made["d"]}

    def test_is_all_that_a_task_with_known_needs_costs(self, engine: Engine) -> None:
        engine.create(required_labels=GPU)
        with CaptureQueriesContext(connection) as queries:
            engine.create(required_labels={"gpu": ["a100"]})
        assert sum("task_needs" in query["sql"] for query in queries) == 1
        assert TaskNeeds.objects.count() == 1


@pytest.mark.usefixtures("committed_db")
class TestAddNeeds:
    def test_gives_two_who_come_at_once_the_same_row(self, engine: Engine, open_session: OpenSession) -> None:
        first, second = open_session(), open_session()
        texts = {needs.digest(NEED): NEED}
        with transaction(first):
            mine = add_needs(first.connection.cursor(), texts, most=None)
            other = rival_on(second, lambda session: add_needs(session.connection.cursor(), texts, most=None))
            other.waits(engine.session)
        assert other.answer() == mine

    def test_makes_no_more_than_there_may_be(self, engine: Engine) -> None:
        with connection.cursor() as cursor:
            assert len(ids_of(cursor, [NEED, Need('{"a":["b"]}', 1)], most=2)) == 2
            for another in (Need('{"c":["d"]}', 1), Need(NEED.labels, 2)):
                with pytest.raises(InvalidTask, match="requiredLabels"):
                    ids_of(cursor, [another], most=2)
            assert len(ids_of(cursor, [NEED], most=2)) == 1
            assert len(ids_of(cursor, [Need('{"c":["d"]}', 1)], most=None)) == 1
            assert len(ids_of(cursor, [Need("{}", 2), Need("{}", 3)], most=2)) == 2, "slots alone are few"
        assert TaskNeeds.objects.count() == 5

    def test_refuses_a_bulk_that_brings_too_many_whole(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(creating, "MOST_NEEDS", 3)
        many = [NewTask(type="DUMMY", required_labels={"n": str(number)}) for number in range(4)]
        with pytest.raises(InvalidTask):
            services.create_tasks(many, created_by="me")
        assert (Task.objects.count(), TaskNeeds.objects.count()) == (0, 0)


@pytest.mark.usefixtures("committed_db")
class TestDeleteUnusedNeeds:
    def _age(self, engine: Engine) -> None:
        engine.session.execute("UPDATE task_needs SET used_at = now() - interval '25 hours'")

    def test_deletes_what_no_task_has_had_for_a_day(self, engine: Engine) -> None:
        task_id = engine.create(required_labels=GPU)
        engine.create(required_labels=NOBODY)
        services.edit_task(task_id, {"required_labels": None}, actor="me")
        assert delete_unused_needs(engine.session) == 0
        self._age(engine)
        assert delete_unused_needs(engine.session) == 1
        assert TaskNeeds.objects.get().labels == {"gpu": ["none such"]}

    def test_keeps_what_an_ended_task_has(self, engine: Engine) -> None:
        services.cancel_task(engine.create(required_labels=GPU), actor="me")
        self._age(engine)
        assert delete_unused_needs(engine.session) == 0

    def test_keeps_what_somebody_is_about_to_use(self, engine: Engine, open_session: OpenSession) -> None:
        task_id = engine.create(required_labels=GPU)
        services.edit_task(task_id, {"required_labels": None}, actor="me")
        self._age(engine)
        user, cleaner = open_session(), open_session()
        need = Need(labels.canonical(GPU), 1)
        with transaction(user):
            ids_of(user.connection.cursor(), [need])
            assert delete_unused_needs(cleaner) == 0
            user.execute("UPDATE tasks SET needs_id = (SELECT id FROM task_needs)")
        assert delete_unused_needs(cleaner) == 0
        assert engine.violations() == {}


class TestSurveyLabelled:
    def test_finds_a_head_of_each_needs_queue_and_priority_that_somebody_meets(self, engine: Engine) -> None:
        engine.worker(labels=GPU, queues=["a", "b"])
        engine.worker(labels={"zone": "a"})
        for queue in "abc":
            for priority in (0, 5):
                engine.create_many(2, queue=queue, priority=priority, required_labels=GPU)
        engine.create(required_labels=NOBODY)
        engine.create(required_labels={"zone": ["a"]}, queue="z")
        heads = [head for head in survey_due(engine.session).heads if head.needs_id is not None]
        assert sorted((head.queue, head.priority) for head in heads) == [
            ("a", 0), ("a", 5), ("b", 0), ("b", 5), ("z", 0),
        ]  # fmt: skip
        first = Task.objects.filter(queue="a", priority=5).earliest("id")
        assert [head.task_id for head in heads if (head.queue, head.priority) == ("a", 5)] == [first.pk]

    def test_counts_on_no_worker_that_leaves(self, engine: Engine) -> None:
        leaving = engine.worker(labels=GPU)
        engine.worker()
        engine.create(required_labels=GPU)
        assert len(survey_due(engine.session).heads) == 1
        heartbeats.begin_drain(engine.session, leaving)
        assert survey_due(engine.session).heads == []

    def test_is_made_only_when_something_waits_that_needs_something(self, engine: Engine) -> None:
        engine.worker()
        engine.create()
        assert not survey_due(engine.session).labelled
        engine.create(required_labels=GPU)
        assert survey_due(engine.session).labelled

    def test_says_when_the_first_falls_due(self, engine: Engine) -> None:
        engine.worker(labels=GPU)
        engine.move(engine.create(required_labels=GPU), run_at=timedelta(seconds=9))
        found = survey_due(engine.session)
        assert not found.has_due
        assert found.next_due_in == pytest.approx(9, abs=2)


class TestLockLabelled:
    @pytest.mark.parametrize("held", [True, False])
    def test_locks_as_many_as_workers_that_meet_the_needs_have_room_for(
        self, engine: Engine, held: bool, open_session: OpenSession
    ) -> None:
        engine.running(engine.worker(slots=4, labels=GPU))
        engine.worker(slots=50)
        first = engine.create(required_labels=GPU)
        engine.create_many(2, required_labels=NOBODY)  # behind the first: a look from there on meets them
        mine = [first, *engine.create_many(8, required_labels=GPU)]
        heads = survey_due(engine.session).heads
        other = open_session()
        with transaction(engine.session):
            if held:
                engine.session.rows("take_pass")
            engine.session.rows("count_room", room_of(["default"], limit=100))
            places = _places([head for head in heads if head.needs_id is not None])
            found = engine.session.rows("lock_labelled", places, of=Candidate)
            assert [each.task_id for each in found] == (mine[:3] if held else [])
            with transaction(other):
                assert len(other.fetch("SELECT id FROM tasks FOR UPDATE SKIP LOCKED")) == (9 if held else 12)


class TestMeetNeeds:
    def test_finds_which_worker_meets_which(self, engine: Engine) -> None:
        special, _ = engine.worker(labels=GPU), engine.worker()
        for required in (GPU, NOBODY):
            engine.create(required_labels=required)
        known = {row.labels["gpu"][0]: row.pk for row in TaskNeeds.objects.all()}
        ask = {"needs": list(known.values()), "suspects": False}
        assert dict(engine.session.rows("meet_needs", ask)) == {special: [known["a100"]]}

    def test_knows_those_of_suspects_by_itself(self, engine: Engine) -> None:
        [suspect] = engine.suspects({})
        services.edit_task(suspect, {"required_labels": GPU}, actor="me")
        special = engine.worker(labels=GPU)
        [(found, _)] = engine.session.rows("meet_needs", {"needs": [], "suspects": True})
        assert found == special
        assert engine.session.rows("meet_needs", {"needs": [], "suspects": False}) == []


class TestWhy:
    def test_names_the_nearest_miss(self, engine: Engine) -> None:
        engine.worker(labels={"zone": "a", "gpu": "t4"})
        engine.worker(labels={"gpu": "v100"}, queues=["other"])
        task_id = engine.create(required_labels={"zone": ["a", "b"], "gpu": "a100"})
        found = {reason.code: reason.detail for reason in why(engine.task(task_id))}
        assert found["NO_WORKER_FOR_LABELS"] == "no live worker of queue default has gpu=a100 (there is t4)"
        assert "NO_LIVE_WORKER" not in found

    def test_is_about_the_workers_that_could_run_it(self, engine: Engine) -> None:
        full = engine.worker(slots=1, labels=GPU)
        engine.running(full)
        engine.worker()
        task_id = engine.create(required_labels=GPU)
        assert "WORKERS_BUSY" in [reason.code for reason in why(engine.task(task_id))]

    @pytest.mark.parametrize("most", [1, 2])
    def test_names_who_comes_first_for_a_key_and_what_that_waits_for(self, engine: Engine, most: int) -> None:
        edit_queue("default", {"perKey": {"maxConcurrency": most}}, actor="me")
        engine.worker()
        firsts = [engine.create(required_labels=GPU, concurrency_key="k") for _ in range(most)]
        second = engine.create(concurrency_key="k")
        assert not engine.assign().assigned
        [found] = [reason for reason in why(engine.task(second)) if reason.code == "KEY_ORDER"]
        assert f"{firsts[0]} waits: " in found.detail
        assert "no live worker of queue default has gpu=a100" in found.detail
        assert "KEY_ORDER" not in [reason.code for reason in why(engine.task(firsts[-1]))]

    def test_counts_those_ahead_that_need_the_same(self, engine: Engine) -> None:
        engine.worker(labels=GPU)
        engine.create_many(3)
        engine.create_many(2, required_labels=GPU)
        [last] = [reason for reason in why(engine.task(engine.create(required_labels=GPU))) if "AHEAD" in reason.code]
        assert last.detail.startswith("2 due tasks")


def _places(heads: list[Head]) -> dict[str, Any]:
    return labelled_places(heads) | {"workers": [], "floors": [], "before": 0}


class TestHints:
    def test_of_many_name_no_pair_when_not_every_worker_will_do(
        self, engine: Engine, open_session: Callable[[], Session]
    ) -> None:
        """A pass over a pair does not see them: the scheduler must look."""
        ear = Ear(open_session())
        services.create_tasks([NewTask(type="DUMMY", required_labels={"gpu": "a100"})], created_by="test")
        assert ear.hears(lambda heard: bool(heard)) == [(SCHEDULERS, NEW)]
