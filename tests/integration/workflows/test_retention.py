"""Forgetting batches: not before their tasks, and tasks not before their batch is done."""

from __future__ import annotations

from datetime import timedelta

from access_app.models import AuditEvent, IdempotencyKey
from tasks_app.models import Task
from tasks_app.retention import Retention
from tests.factories import make_batch, make_task
from tests.support.batches import dummy, make, settled
from tests.support.engine import Engine
from workflows_app.models import Batch
from workflows_app.retention import delete_ended_batches

OLD = timedelta(days=400)


def age(engine: Engine) -> None:
    """All that has ended did so long ago."""
    engine.session.execute("UPDATE batches SET finished_at = finished_at - %s", [OLD])
    engine.session.execute("UPDATE tasks SET finished_at = finished_at - %s", [OLD])


class TestDeleteEndedBatches:
    def test_deletes_old_ones_with_their_events_and_keys(self, engine: Engine) -> None:
        done, fresh, running = make_batch(status="SUCCESS", idempotency_key="k"), make_batch(status="FAILED"), make()
        IdempotencyKey.objects.create(created_by="test", key="k", fingerprint=b"", task_ids=[], response={})
        AuditEvent.objects.create(actor="test", action="batch.closed", target=f"batch:{done.pk}")
        engine.session.execute("UPDATE batches SET finished_at = now() WHERE id = %s", [fresh.pk])
        engine.session.execute("UPDATE batches SET finished_at = now() - %s WHERE id = %s", [OLD, done.pk])
        assert delete_ended_batches(engine.session) == 1
        assert set(Batch.objects.values_list("pk", flat=True)) == {fresh.pk, running.pk}
        assert not IdempotencyKey.objects.exists()
        assert not AuditEvent.objects.filter(action="batch.closed").exists()

    def test_keeps_one_as_long_as_a_task_of_it_or_a_batch_in_it(self, engine: Engine) -> None:
        outer = make_batch(status="SUCCESS")
        inner = make_batch(status="SUCCESS", parent_id=outer.pk)
        task = make_task(batch_id=inner.pk, status="SUCCESS")
        age(engine)
        assert delete_ended_batches(engine.session) == 0
        Task.objects.filter(pk=task.pk).delete()
        assert [delete_ended_batches(engine.session) for _ in range(3)] == [1, 1, 0]

    def test_keeps_one_whose_end_others_do_not_know_of(self, engine: Engine) -> None:
        make_batch(status="CANCELLED", has_dependents=True)
        age(engine)
        assert delete_ended_batches(engine.session) == 0

    def test_a_task_is_kept_until_its_batch_is_done(self, engine: Engine) -> None:
        batch = make(dummy(), open=True, follow_ups={})
        task_id = Task.objects.get(batch_id=batch.pk).pk
        engine.session.rows("cancel_tasks", {"ids": [task_id], "actors": ["test"], "reason": ""})
        settled(engine)
        age(engine)
        assert Retention().delete(engine.session) == 0
        Batch.objects.filter(pk=batch.pk).update(status="RUNNING", look=True)
        settled(engine)
        age(engine)
        assert Retention().delete(engine.session) == 1
        assert delete_ended_batches(engine.session) == 1
