"""Pages of schedules cost what they show: 100,000 schedules, and a ledger of a schedule of every minute."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from schedules_app.models import Schedule
from tests.support.schedules import make_schedule

pytestmark = pytest.mark.django_db

SCHEDULES, BUSY, SLOTS = 100_000, 60, 2_500
LIST = "/admin/schedules_app/schedule/"
FIRES = "/admin/schedules_app/schedulefire/"
#: A whole pass over the schedules (a state that few are in, part of a name) is allowed to take a moment, not more.
LONGEST_SECONDS = 3.0


@pytest.fixture
def many(client: Client) -> Client:
    """Schedules of which the first sixty by name have fired every minute for two days; a busy audit trail."""
    cache.clear()
    model = make_schedule(due=0)
    columns = [field.attname for field in Schedule._meta.fields if field.attname not in ("id", "name", "next_fire_at")]
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO schedules (id, name, next_fire_at, {names}) SELECT gen_random_uuid(),"
            f" 's' || lpad(i::text, 6, '0'), now() + i * interval '1 second', {names}"
            f" FROM schedules, generate_series(1, {SCHEDULES}) AS i"
        )
        cursor.execute("DELETE FROM schedules WHERE id = %s", [model.pk])
        cursor.execute(
            "INSERT INTO schedule_fires (schedule_id, slot, due_at, decided_at, state)"
            " SELECT s.id, at, at, at, CASE WHEN n % 100 = 0 THEN 'MISSED' ELSE 'FIRED' END"
            f" FROM (SELECT id FROM schedules ORDER BY name LIMIT {BUSY}) AS s,"
            f" (SELECT n, date_trunc('minute', now()) - n * interval '1 minute' FROM generate_series(1, {SLOTS}) AS n)"
            " AS made(n, at)"
        )
        cursor.execute(
            "INSERT INTO audit_events (actor, action, target) SELECT 'a', 'queue.paused', 'queue:' || n"
            " FROM generate_series(1, 20000) AS n"
        )
        cursor.execute("ANALYZE schedules, schedule_fires, audit_events")
    client.force_login(User.objects.create_superuser("maria"))
    return client


def plans(client: Client, url: str) -> str:
    """The plans of every statement a page sends to the tables of schedules and to the audit trail."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200, url
    found = []
    with connection.cursor() as cursor:
        for query in queries:
            sql = query["sql"]
            if ("schedules" in sql or "schedule_fires" in sql or "audit_events" in sql) and "SELECT" in sql:
                cursor.execute(f"EXPLAIN {sql}")
                found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_pages_ride_their_indexes(many: Client) -> None:
    """One test, because filling the tables takes longer than asking."""
    schedule = Schedule.objects.order_by("name")[0]
    page = f"{LIST}{schedule.pk}/change/"
    expected = {
        LIST: "fires_slot",
        f"{LIST}?p=100": "schedules_",
        f"{LIST}?state=active": "schedules_",
        f"{LIST}?state=overdue": "schedules_due",
        f"{LIST}?q={schedule.pk}": "schedules_pkey",
        page: "audit_target",
        f"{page}?state=MISSED": "fires_slot",
        FIRES: "fires_decided",
        f"{FIRES}?schedule={schedule.pk}": "fires_slot",
    }
    for url, index in expected.items():
        plan = plans(many, url)
        assert index in plan, (url, plan)
        assert "Seq Scan on schedules" not in plan, (url, plan)
        assert "Seq Scan on schedule_fires" not in plan, (url, plan)
        assert "Seq Scan on audit_events" not in plan, (url, plan)
    for query in ("state=paused", "state=disabled", "state=ended", "q=s0999", "calendar=none"):
        began = time.monotonic()
        assert many.get(f"{LIST}?{query}").status_code == 200
        assert time.monotonic() - began < LONGEST_SECONDS, query
