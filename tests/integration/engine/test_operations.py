"""The table of bulk operations: what its constraints keep out, and how long its rows are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from access_app.models import IdempotencyKey
from tasks_app.models import BulkOperation
from tasks_app.operations import delete_old_operations
from tests.factories import make_operation
from tests.support.engine import Engine, in_seconds


class TestDeleteOldOperations:
    def test_deletes_what_was_over_long_ago(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        old = in_seconds(-timedelta(days=31).total_seconds())
        for state, finished_at in (("DONE", old), ("FAILED", old), ("STOPPED", None), ("DONE", in_seconds(-60))):
            operation = make_operation(state=state, finished_at=finished_at, created_at=old)
            IdempotencyKey.objects.create(
                key=str(operation.pk), task_ids=[], fingerprint=b"", answered_with=operation.pk
            )
        monkeypatch.setattr(settings, "SCHEDULER", replace(settings.SCHEDULER, retention_failed=None))
        assert delete_old_operations(engine.session) == 0
        monkeypatch.undo()
        assert delete_old_operations(engine.session, limit=1) == 1
        assert delete_old_operations(engine.session) == 1
        assert sorted(BulkOperation.objects.values_list("state", flat=True)) == ["DONE", "STOPPED"]
        kept = IdempotencyKey.objects.values_list("answered_with", flat=True)
        assert set(kept) == set(BulkOperation.objects.values_list("pk", flat=True))


class TestConstraints:
    @pytest.mark.parametrize(
        "columns",
        [
            {"filter": {}},
            {"state": "DONE"},
            {"state": "RUNNING", "finished_at": in_seconds(0)},
            {"action": "move"},
            {"action": "cancel", "priority": 1},
            {"action": "reprioritise", "priority": 1, "queue": "a"},
        ],
    )
    def test_keep_out_what_means_nothing(self, db: None, columns: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            make_operation(**columns)
