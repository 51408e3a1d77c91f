"""``/audit``: who did what to what, by cursor, under strict filters, without credentials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from access_app import audit
from access_app.api.audit_filters import of_target
from access_app.models import AuditEvent
from access_app.rights import Scope
from tasks_app import services
from tests.factories import make_key, make_task
from tests.support.api import Api, fields_of, problem_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_events")]

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def no_events(api: Api) -> None:
    """Making the key of the caller is an event, too."""
    AuditEvent.objects.all().delete()


def actions(page: Any) -> list[str]:
    return [event["action"] for event in page.json()["content"]]


class TestAudit:
    def test_says_who_did_what_to_what_and_why(self, api: Api) -> None:
        task = make_task()
        services.cancel_task(task.pk, actor="user:maria", reason="twice")
        [event] = api.get("/audit").json()["content"]
        assert event | {"at": None, "id": None, "correlationId": None} == {
            "id": None,
            "at": None,
            "actor": "user:maria",
            "action": "task.cancelled",
            "targetType": "task",
            "targetId": str(task.pk),
            "attempt": 0,
            "from": "PENDING",
            "to": "CANCELLED",
            "reason": "twice",
            "correlationId": None,
            "detail": None,
        }

    def test_is_read_to_its_end_by_cursor(self, api: Api) -> None:
        for number in range(5):
            audit.record("a", f"queue.{number}", "queue:x")
        page, seen = api.get("/audit?cursor=&size=2"), []
        while True:
            seen += actions(page)
            following = page.json()["next"]
            if following is None:
                break
            page = api.get(f"/audit?cursor={following}&size=2")
        assert seen == [f"queue.{number}" for number in (4, 3, 2, 1, 0)]

    def test_is_for_a_scope_of_its_own(self) -> None:
        """Whoever may pause queues, and give that away, may not see what everybody did."""
        assert Api(make_key(Scope.AUDIT_READ)).get("/audit").status_code == 200
        problem_of(Api(make_key(*(scope for scope in Scope if scope != Scope.AUDIT_READ))).get("/audit"), 403)

    def test_hides_credentials(self, api: Api) -> None:
        detail = {"url": "https://u:hunter2@x/?token=hunter2", "password": "hunter2", "n": [{"secret": "hunter2"}]}
        audit.record(
            "a", "endpoint.edited", "endpoint:x?token=hunter2", reason="https://x/?token=hunter2", detail=detail
        )
        page = api.get("/audit")
        assert len(page.json()["content"]) == 1
        assert b"hunter2" not in page.content


class TestFilters:
    @pytest.fixture(autouse=True)
    def trail(self, no_events: None) -> None:
        self.task = make_task()
        audit.record_task("key", "task.edited", self.task, to_status="PENDING")
        audit.record("user:maria", "queue.paused", "queue:a")
        audit.record("user:maria", "queue.resumed", "queue:b")
        audit.record("key", "queue_key.set", "queue_key:a")
        for hours, event in enumerate(AuditEvent.objects.order_by("id")):
            AuditEvent.objects.filter(pk=event.pk).update(at=NOON + timedelta(hours=hours))

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("actor=user:maria", ["queue.resumed", "queue.paused"]),
            ("action=queue.paused", ["queue.paused"]),
            ("targetType=queue", ["queue.resumed", "queue.paused"]),
            ("targetType=queue&targetId=a", ["queue.paused"]),
            ("targetType=task", ["task.edited"]),
            ("targetType=task&targetId=x", []),
            ("targetType=queue&targetId=a&actor=key", []),
            ("from=2030-01-31T13:00:00Z&to=2030-01-31T15:00:00Z&sort=at,asc", ["queue.paused", "queue.resumed"]),
        ],
    )
    def test_narrow_the_trail(self, api: Api, query: str, found: list[str]) -> None:
        assert actions(api.get(f"/audit?{query}")) == found

    def test_find_a_task_by_its_id(self, api: Api) -> None:
        assert actions(api.get(f"/audit?targetType=task&targetId={self.task.pk}")) == ["task.edited"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("targetId=a", "targetId"),
            ("targetType=Queue", "targetType"),
            ("targetType=", "targetType"),
            ("targetType=queue&targetId=", "targetId"),
            ("actor=", "actor"),
            ("actor=%1b", "actor"),
            ("action=a&action=b", "action"),
            ("from=today", "from"),
            ("until=2030-01-31T13:00:00Z", "until"),
            ("sort=actor", "sort"),
            ("cursor=x&page=1", "cursor"),
        ],
    )
    def test_that_cannot_be_kept_are_refused(self, api: Api, query: str, field: str) -> None:
        assert fields_of(api.get(f"/audit?{query}")) == {field}

    @pytest.mark.parametrize(
        ("kind", "name", "index"),
        [("queue", "a", "audit_target"), ("task", "00000000-0000-7000-8000-000000000000", "audit_task")],
    )
    def test_by_a_target_use_its_index(self, kind: str, name: str, index: str) -> None:
        others = (AuditEvent(actor="a", action="x.y", target=f"worker:{number}") for number in range(2_000))
        AuditEvent.objects.bulk_create(others)  # of a table that looks empty, any index is as good as another
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        rows = AuditEvent.objects.filter(of_target((kind, name))).order_by("-id")[:21]
        assert index in rows.explain()
