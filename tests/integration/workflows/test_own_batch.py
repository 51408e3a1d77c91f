"""A task adds to its own batch, and its attempt is taken away at that moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access_app.rights import Refused
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.task_tokens import AttemptOver, TaskCaller
from tests.integration.engine.test_attempts import fence_of
from tests.support.batches import dummy, make, members
from tests.support.engine import Engine
from tests.support.races import locked, rival, rival_on
from workflows_app.batches import Batch
from workflows_app.own_batch import Adder, adder_of

OpenSession = Callable[[], Session]


def running(engine: Engine) -> tuple[Batch, Attempt]:
    """A batch of one task, which runs."""
    worker = engine.worker()
    batch = make(dummy(task_token=True, on_worker_lost="retry"), follow_ups={})
    engine.assign()
    [attempt] = engine.start(worker)
    assert attempt.token_for == str(batch.pk)
    return batch, attempt


def adder(batch: Batch, attempt: Attempt) -> Adder:
    return adder_of(TaskCaller(fence_of(attempt)), batch.pk)


class TestAdd:
    def test_is_refused_when_a_recovery_comes_in_between(self, engine: Engine, open_session: OpenSession) -> None:
        """The attempt was there when the call was read, and is not when something would happen."""
        batch, attempt = running(engine)
        adds, other = adder(batch, attempt), open_session()
        engine.kill(engine.task(attempt.task_id).worker_id)  # type: ignore[arg-type]
        other.execute("BEGIN")
        Engine(other).recover()
        child = rival(lambda: adds.add(batch.pk, members([dummy()]), None))
        child.waits(engine.session)
        other.execute("COMMIT")
        with pytest.raises(AttemptOver):
            child.answer()
        assert Task.objects.filter(batch_id=batch.pk).count() == 1

    def test_is_refused_when_its_attempt_ends_while_it_waits_for_the_batch(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        batch, attempt = running(engine)
        adds = adder(batch, attempt)
        with locked(open_session(), "batches", "id", batch.pk) as holder:
            child = rival(lambda: adds.add(batch.pk, members([dummy()]), None))
            child.waits(engine.session)
            engine.lose(engine.task(attempt.task_id).worker_id)  # type: ignore[arg-type]  # it holds no task yet
            holder.fetch("SELECT 1")
        with pytest.raises(AttemptOver):
            child.answer()

    def test_of_many_at_once_by_one_token_wait_for_no_one(self, engine: Engine, open_session: OpenSession) -> None:
        batch, attempt = running(engine)
        with locked(open_session(), "tasks", "id", attempt.task_id, strength="SHARE"):
            adder(batch, attempt).add(batch.pk, members([dummy()]), None)
            end = rival_on(open_session(), lambda session: Engine(session).recover())
            assert end.answer() == []
        assert Task.objects.filter(batch_id=batch.pk).count() == 2


class TestAdderOf:
    def test_is_refused_to_another_batch_before_anything_is_held(self, engine: Engine) -> None:
        _, attempt = running(engine)
        with pytest.raises(Refused):
            adder(make(dummy(), follow_ups={}), attempt)
