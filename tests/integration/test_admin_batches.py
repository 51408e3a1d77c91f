"""Batches in the admin: the list, the page of one, and its buttons."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client

from tasks_app.edges import TaskEdge
from tasks_app.models import Task
from tests.factories import make_batch, make_task
from workflows_app.models import Batch

pytestmark = pytest.mark.django_db
LIST = "/admin/workflows_app/batch/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("maria"))
    return client


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


class TestList:
    def test_is_filtered_and_searched(self, staff: Client) -> None:
        outer, done = make_batch(name="nightly"), make_batch(name="hourly <b>", status="FAILED")
        make_batch(name="within", parent_id=outer.pk, status="OPEN")
        page = text_of(staff, LIST)
        assert all(name in page for name in ("nightly", "hourly &lt;b&gt;", "within"))
        assert "hourly" in text_of(staff, f"{LIST}?status=FAILED")
        assert "nightly" not in text_of(staff, f"{LIST}?status=FAILED")
        assert "within" not in text_of(staff, f"{LIST}?q=nightly")
        assert "nightly" not in text_of(staff, f"{LIST}?q={done.pk}")

    def test_says_how_often_each_was_done(self, staff: Client) -> None:
        make_batch(status="FAILED")
        assert ">once<" in text_of(staff, LIST).replace("\n", "").replace(" ", "")
        make_batch(status="FAILED", completion=2)
        assert "2 times" in text_of(staff, LIST)


class TestPage:
    def test_shows_progress_what_is_in_it_and_who_waits(self, staff: Client) -> None:
        batch = make_batch(name="nightly", status="FAILED", on_complete={"type": "DUMMY", "payload": {"token": "hush"}})
        tasks = [make_task(batch_id=batch.pk, status=status) for status in ("SUCCESS", "SUCCESS", "FAILED", "PENDING")]
        inner = make_batch(name="inner one", parent_id=batch.pk, status="SUCCESS")
        waiting = make_task(gate=2)
        TaskEdge.objects.create(child_id=waiting.pk, parent_id=batch.pk, of_batch=True)
        page = text_of(staff, f"{LIST}{batch.pk}/change/")
        for text in ("75 % of 4 ended", "inner one", str(inner.pk), str(waiting.pk), "onComplete was made"):
            assert text in page
        assert "hush" not in page
        assert f"?batch={batch.pk}&amp;status=FAILED" in page
        assert "Rerun what failed" in page
        listed = text_of(staff, f"/admin/tasks_app/task/?batch={batch.pk}&status=FAILED")
        assert (str(tasks[2].pk) in listed, str(tasks[0].pk) in listed) == (True, False)
        assert str(batch.pk) in text_of(staff, f"/admin/tasks_app/task/{tasks[0].pk}/change/")
        shown = text_of(staff, f"/admin/tasks_app/task/{waiting.pk}/change/")
        assert f"/admin/workflows_app/batch/{batch.pk}/change/" in shown

    @pytest.mark.parametrize(
        ("columns", "offered"),
        [
            ({"status": "OPEN"}, {"close", "cancel"}),
            ({"status": "RUNNING"}, {"cancel"}),
            ({"status": "RUNNING", "stopping": True, "cancelled_at": "2030-01-01T00:00:00Z"}, set()),
            ({"status": "SUCCESS"}, set()),
        ],
    )
    def test_offers_what_the_state_allows(self, staff: Client, columns: dict[str, Any], offered: set[str]) -> None:
        batch = make_batch(**columns)
        assert staff.get(f"{LIST}{batch.pk}/change/").context_data["offered"] == offered


class TestButtons:
    def test_act_with_a_reason(self, staff: Client) -> None:
        batch = make_batch(status="OPEN")
        for word, words in (("close", "takes nothing more"), ("cancel", "is being cancelled")):
            message = said(staff.post(f"{LIST}{batch.pk}/{word}/", {"reason": "because"}))[-1]
            assert words in message
        found = Batch.objects.get(pk=batch.pk)
        assert (found.status, found.stopping, found.look) == ("RUNNING", True, True)

    def test_rerun_and_twice_is_said(self, staff: Client) -> None:
        batch = make_batch(status="FAILED")
        task = make_task(batch_id=batch.pk, status="FAILED")
        messages = [said(staff.post(f"{LIST}{batch.pk}/retry/"))[-1] for _ in range(2)]
        assert messages == [
            "1 task will run again. What succeeded is kept.",
            "Nothing was done: nothing has failed in the batch.",
        ]
        assert Task.objects.get(pk=task.pk).status == "PENDING"
