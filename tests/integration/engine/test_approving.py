"""Tasks that wait for an approval: when it is asked for, who decides, and what becomes of those nobody approves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from access_app.rights import KeyCaller, Refused
from tasks_app import deciding, services
from tasks_app.expiry import time_out_approvals
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tasks_app.transitions import IllegalTransition
from tests.support.engine import FAILED, FAILED_FOR_GOOD, SUCCEEDED, Engine
from tests.support.races import held_after_its_look, locked, looks_held, rival, rival_on
from workflows_app.endings import settle_endings

OpenSession = Callable[[], Session]

BY_ADMIN: dict[str, Any] = {"of": "scope:admin"}
ADMIN = KeyCaller("boss", frozenset({"admin"}))


def approve(task_id: UUID, **options: Any) -> Task:
    return deciding.approve_task(task_id, **{"caller": ADMIN} | options)


def reject(task_id: UUID, **options: Any) -> Task:
    return deciding.reject_task(task_id, **{"caller": ADMIN} | options)


def waits(task_id: UUID) -> bool:
    """Whether its approval has been asked for; both ways it is the whole of it."""
    task = Task.objects.get(pk=task_id)
    assert (task.gate == Gate.APPROVAL) == (task.approval_asked_at is not None)
    return task.status == "PENDING" and task.gate == Gate.APPROVAL


def late(engine: Engine, task_id: UUID) -> UUID:
    engine.session.execute("UPDATE tasks SET approval_ends_at = now() - interval '1 ms' WHERE id = %s", [task_id])
    return task_id


class TestAsking:
    def test_holds_a_task_until_somebody_approves(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.create(approval=BY_ADMIN | {"timeoutSeconds": 60})
        task = engine.task(task_id)
        assert (task.gate, task.approval_ends_at - task.approval_asked_at) == (Gate.APPROVAL, timedelta(minutes=1))
        assert (engine.assign().assigned, engine.violations()) == (0, {})
        task = approve(task_id, reason="looks good")
        assert (task.gate, task.approval_asked_at, task.approval_ends_at) == (Gate.OPEN, None, None)
        assert engine.assign().assigned == 1
        assert engine.violations() == {}
        event = AuditEvent.objects.get(task_id=task_id)
        assert (event.actor, event.action, event.reason) == ("boss", "task.approved", "looks good")
        [attempt] = engine.start(worker)
        assert engine.finish(worker, attempt, FAILED) == "PENDING"  # a retry by policy is the same run
        assert engine.task(task_id).gate == Gate.OPEN

    def test_leaves_the_time_of_a_task_as_it_is(self, engine: Engine) -> None:
        later = datetime(2100, 1, 1, tzinfo=UTC)
        assert approve(engine.create(approval=BY_ADMIN, schedule_at=later)).run_at == later

    def test_of_many_asks_for_those_that_need_one(self, engine: Engine) -> None:
        [plain] = engine.create_many(1)
        asked = engine.create_many(2, approval=BY_ADMIN | {"timeoutSeconds": 5}, required_labels={"a": "b"})
        assert [waits(task_id) for task_id in (plain, *asked)] == [False, True, True]

    def test_comes_after_what_a_task_depends_on(self, engine: Engine) -> None:
        worker = engine.worker()
        parent = engine.running(worker)
        child = engine.create(depends_on=[str(parent.task_id)], approval=BY_ADMIN | {"timeoutSeconds": 60})
        with pytest.raises(IllegalTransition, match="waits for no approval"):
            approve(child)
        engine.finish(worker, parent, SUCCEEDED)
        settle_endings(engine.session)
        assert waits(child)
        assert engine.task(child).approval_ends_at is not None
        assert engine.violations() == {}

    @pytest.mark.parametrize("by", ["one", "many", "tree"])
    def test_is_done_again_when_a_task_is_run_again(self, engine: Engine, by: str) -> None:
        worker = engine.worker()
        parent = engine.running(worker)
        task_id = engine.create(approval=BY_ADMIN | {"timeoutSeconds": 60}, depends_on=[str(parent.task_id)])
        engine.finish(worker, parent, FAILED_FOR_GOOD if by == "tree" else SUCCEEDED)
        settle_endings(engine.session)
        if by == "tree":
            services.retry_task(parent.task_id, actor="me", dependents=lambda types: None)
            assert engine.task(task_id).approval_asked_at is None
            engine.assign()
            engine.finish(worker, engine.start(worker)[0], SUCCEEDED)
            settle_endings(engine.session)
        else:
            reject(task_id)
            if by == "one":
                services.retry_task(task_id, actor="me")
            else:
                rows = engine.session.rows("retry_tasks", {"ids": [task_id], "heard": [], "actor": "me", "reason": ""})
                assert rows == [(1,)]
        assert waits(task_id)
        assert engine.task(task_id).approval_ends_at is not None
        assert engine.violations() == {}

    @pytest.mark.parametrize(
        ("changes", "anew"), [({"priority": 3}, False), ({"payload": {}}, True), ({"timeout_ms": 7}, True)]
    )
    def test_is_done_again_when_more_than_the_priority_changes(
        self, engine: Engine, changes: dict[str, Any], anew: bool
    ) -> None:
        engine.worker()
        task_id = engine.create(approval=BY_ADMIN)
        approve(task_id)
        engine.assign()
        services.edit_task(task_id, changes, actor="me")
        assert waits(task_id) is anew
        assert engine.violations() == {}

    @pytest.mark.parametrize(("given", "anew"), [({"priority": 3}, False), ({"queue": "other"}, True)])
    def test_is_done_again_when_many_are_moved(self, engine: Engine, given: dict[str, Any], anew: bool) -> None:
        task_id = engine.create(approval=BY_ADMIN)
        approve(task_id)
        parameters = {"ids": [task_id], "priority": None, "queue": None, "heard": [], "actor": "me", "reason": ""}
        assert engine.session.rows("change_tasks", parameters | given) == [(1,)]
        assert waits(task_id) is anew

    def test_of_a_clone_is_one_of_its_own(self, engine: Engine) -> None:
        task_id = engine.create(approval=BY_ADMIN)
        approve(task_id)
        assert waits(services.clone_task(task_id, actor="me").pk)


class TestDeciding:
    def test_rejects_with_a_code_that_dependents_hear_of(self, engine: Engine) -> None:
        task_id = engine.create(approval=BY_ADMIN)
        child = engine.create(depends_on=[str(task_id)])
        task = reject(task_id, reason="not today")
        assert (task.status, task.end_reason, task.attempt) == ("CANCELLED", "REJECTED", 0)
        assert AuditEvent.objects.filter(task_id=task_id).values_list("actor", "action", "reason").get() == (
            "boss",
            "task.rejected",
            "not today",
        )
        settle_endings(engine.session)
        assert engine.task(child).end_reason == "DEPENDENCY_FAILED"

    def test_refuses_what_waits_for_none(self, engine: Engine) -> None:
        plain, task_id = engine.create(), engine.create(approval=BY_ADMIN)
        approve(task_id)
        for act in (approve, reject):
            for each in (plain, task_id):
                with pytest.raises(IllegalTransition, match=r"PENDING cannot be \w+: it waits for no approval"):
                    act(each)

    def test_takes_an_approval_in_time_only_and_a_rejection_while_it_waits(self, engine: Engine) -> None:
        task_id = late(engine, engine.create(approval=BY_ADMIN | {"timeoutSeconds": 60}))
        with pytest.raises(IllegalTransition, match="the time for that is over"):
            approve(task_id)
        assert reject(task_id).status == "CANCELLED"

    def test_sees_an_edit_that_came_first(self, engine: Engine, open_session: OpenSession) -> None:
        """Who changes a task while they approve it has asked for it as it is then."""
        holder, task_id = open_session(), engine.create(approval=BY_ADMIN)
        with locked(holder, "tasks", "id", task_id):
            holder.execute(
                "INSERT INTO audit_events (actor, action, target, task_id) VALUES ('boss', 'task.edited', 'x', %s)",
                [task_id],
            )
            second = rival(lambda: approve(task_id))
            second.waits(engine.session)
        with pytest.raises(Refused, match="Somebody else"):
            second.answer()
        assert waits(task_id)


class TestTimeOutApprovals:
    @pytest.mark.parametrize(
        ("then", "status", "reason"),
        [
            (None, "CANCELLED", "APPROVAL_TIMEOUT"),
            ("cancel", "CANCELLED", "APPROVAL_TIMEOUT"),
            ("fail", "FAILED", "APPROVAL_TIMEOUT"),
            ("run", "PENDING", None),
        ],
    )
    def test_does_as_each_says_and_once(
        self, engine: Engine, then: str | None, status: str, reason: str | None
    ) -> None:
        said = {} if then is None else {"onTimeout": then}
        task_id, kept = engine.create_many(2, approval=BY_ADMIN | {"timeoutSeconds": 60} | said)
        version = engine.task(late(engine, task_id)).version
        assert [time_out_approvals(engine.session) for _ in range(2)] == [1, 0]
        task = engine.task(task_id)
        assert (task.status, task.end_reason, task.version) == (status, reason, version + 1)
        assert (task.finished_at is None, task.approval_ends_at) == (then == "run", None)
        assert engine.actions(task_id) == ["task.approval_timed_out"]
        assert waits(kept)
        engine.worker()
        assert engine.assign().assigned == (then == "run")
        assert engine.violations() == {}

    def test_waits_without_an_end_where_none_is_named(self, engine: Engine) -> None:
        task_id = engine.create(approval=BY_ADMIN)
        assert time_out_approvals(engine.session) == 0
        assert waits(task_id)

    def test_tells_those_that_depend_on_it(self, engine: Engine) -> None:
        task_id = engine.create(approval=BY_ADMIN | {"timeoutSeconds": 60, "onTimeout": "fail"})
        child = engine.create(depends_on=[str(task_id)], run_if="any_failed")
        late(engine, task_id)
        time_out_approvals(engine.session)
        settle_endings(engine.session)
        assert engine.task(child).gate == Gate.OPEN

    def test_works_in_batches(self, engine: Engine) -> None:
        for task_id in engine.create_many(5, approval=BY_ADMIN | {"timeoutSeconds": 60}):
            late(engine, task_id)
        assert [time_out_approvals(engine.session, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_skips_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        task_id = late(engine, engine.create(approval=BY_ADMIN | {"timeoutSeconds": 60}))
        with locked(open_session(), "tasks", "id", task_id):
            assert time_out_approvals(engine.session) == 0
        assert time_out_approvals(engine.session) == 1

    def test_leaves_what_was_decided_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        ids = engine.create_many(3, approval=BY_ADMIN | {"timeoutSeconds": 60})
        approved, prolonged, kept = (late(engine, task_id) for task_id in ids)
        with looks_held(open_session()):
            other = rival_on(
                open_session(),
                lambda session: held_after_its_look(
                    session, "time_out_approvals", "WHERE approval_ends_at <= now() AND approval_asked_at", {"limit": 9}
                ),
            )
            other.waits(engine.session)
            engine.session.execute(
                "UPDATE tasks SET approval_ends_at = now() + interval '1 hour' WHERE id = ANY(%s)",
                [[approved, prolonged]],
            )
            approve(approved)
        assert [row[0] for row in other.answer()] == [kept]
        assert engine.statuses([approved, prolonged, kept]) == ["PENDING", "PENDING", "CANCELLED"]
