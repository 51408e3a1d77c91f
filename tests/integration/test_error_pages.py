"""Error pages of the staff UI: what happened, that nothing was done, a way out; in the frame for those signed in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_task

pytestmark = pytest.mark.django_db

TASKS = "/admin/tasks_app/task/"
#: Only the frame of the staff UI has it.
NAVIGATION = 'id="nav-sidebar"'


@pytest.fixture
def staff() -> Client:
    """Signed in, and as strict about forms as outside of tests."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(User.objects.create_superuser("maria"))
    return client


def test_a_form_from_before_another_sign_in_changes_nothing_and_leads_back(staff: Client) -> None:
    task = make_task()
    page = f"{TASKS}{task.pk}/change/?x=1"
    stale = {"csrfmiddlewaretoken": "x" * 64}
    staff.get(page)
    response = staff.post(f"{TASKS}{task.pk}/cancel/", stale, HTTP_REFERER=f"http://testserver{page}")
    html = response.content.decode()
    assert response.status_code == 403
    assert "Nothing was done." in html
    assert f'href="{page}"' in html
    assert NAVIGATION in html
    assert Task.objects.get().status == TaskStatus.PENDING


@pytest.mark.parametrize("referer", ["http://elsewhere.example/x", "//elsewhere.example", "javascript:alert(1)", ""])
def test_a_refused_form_leads_back_to_no_other_site(staff: Client, referer: str) -> None:
    response = staff.post(f"{TASKS}add/", HTTP_REFERER=referer)
    assert response.status_code == 403
    assert "elsewhere.example" not in response.content.decode()
    assert "javascript:" not in response.content.decode()


def test_a_refused_form_leads_back_to_no_host_in_a_path(staff: Client) -> None:
    response = staff.post(f"{TASKS}add/", HTTP_REFERER="http://testserver//elsewhere.example/x?y=1")
    assert 'href="/elsewhere.example/x?y=1"' in response.content.decode()


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "Allow cookies"),
        ({"HTTP_ORIGIN": "https://elsewhere.example"}, "CSRF_TRUSTED_ORIGINS"),
    ],
)
def test_a_refused_form_says_what_is_to_be_done(headers: dict[str, Any], says: str) -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"}, **headers)
    assert response.status_code == 403
    assert says in response.content.decode()


def test_what_is_not_allowed_is_said_inside_the_frame() -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    response = client.get(TASKS)
    assert response.status_code == 403
    assert "no permission" in response.content.decode()
    assert NAVIGATION in response.content.decode()


@pytest.mark.parametrize("url", ["/admin/nonsense/", "/static/nonsense.css"])
def test_what_is_not_there(staff: Client, url: str) -> None:
    response = staff.get(url)
    assert response.status_code == 404
    assert "There is nothing at this address." in response.content.decode()


def test_what_cannot_be_read(staff: Client) -> None:
    response = staff.get("/admin/", HTTP_HOST="elsewhere.example")
    assert response.status_code == 400
    assert "Not understood" in response.content.decode()


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [(OperationalError("gone"), 503, "cannot be reached"), (RuntimeError("secret"), 500, "the log has the details")],
)
def test_what_broke_needs_neither_database_nor_session(
    staff: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, says: str
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", broken)
    response = staff.get(TASKS)
    assert response.status_code == status
    assert says in response.content.decode()
    assert "secret" not in response.content.decode()
    assert (response.get("Retry-After") is not None) == (status == 503)


def test_the_api_answers_problems_all_the_same() -> None:
    for url, status in (("/nonsense", 401), ("/tasks", 401)):
        response = Client().get(url)
        assert response.status_code == status
        assert response["Content-Type"] == "application/problem+json"
