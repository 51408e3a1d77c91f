"""What "paused" means: the same in SQL, in a query of Django and of a row at hand, and said in one place of each."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

import pytest
from django.db import connection
from django.utils import timezone

from flow_app import queues
from flow_app.models import Queue
from tests.support.product import all_sql, modules

HOUR: Final = timedelta(hours=1)
#: Where the columns may be compared: the view, and the property.
HOMES: Final = {"flow_app.migrations.0001_initial", "flow_app.models"}


@pytest.fixture
def four(db: None) -> None:
    now = timezone.now()
    Queue.objects.create(name="open")
    Queue.objects.create(name="for good", paused_at=now)
    Queue.objects.create(name="for an hour", paused_at=now, paused_until=now + HOUR)
    Queue.objects.create(name="over", paused_at=now - HOUR * 2, paused_until=now - HOUR)


@pytest.mark.usefixtures("four")
class TestPaused:
    PAUSED = ("for an hour", "for good")

    def test_is_one_view_in_sql(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM paused_queues ORDER BY name")
            assert tuple(name for (name,) in cursor.fetchall()) == self.PAUSED

    def test_means_the_same_of_a_row_and_of_a_query(self) -> None:
        assert tuple(queue.name for queue in queues.listed() if queue.is_paused) == self.PAUSED
        assert tuple(queue.name for queue in queues.paused(most=9)) == self.PAUSED

    def test_of_a_queue_by_its_name(self) -> None:
        found = {queue.name: queues.pause_of(queue.name) for queue in queues.listed()}
        assert {name for name, queue in found.items() if queue is not None} == set(self.PAUSED)
        assert queues.pause_of("never seen") is None


class TestHomes:
    def test_no_statement_reads_the_columns_behind_the_view(self) -> None:
        read = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+queues\b(?: ([a-z])\b)?")
        found = {
            sql.where
            for sql in all_sql()
            for alias in read.findall(sql.text)
            if re.search((rf"\b{alias}\." if alias else r"\b") + r"paused_(at|until)\b", sql.text)
        }
        assert found == {"flow_app.migrations.0001_initial"}

    def test_nobody_compares_the_end_of_a_pause_but_the_view_and_the_property(self) -> None:
        compared = re.compile(r"paused_until(__\w+=| (IS|is|[<>=]+) )")
        assert {module.name for module in modules() if compared.search(module.text)} == HOMES
