"""An overview that stays open costs next to nothing, and shows nothing to who may no longer see it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitoring_app import dashboard
from scheduler_project.accounts import viewers
from scheduler_project.accounts.viewers import BELIEVED_SECONDS, VIEWERS
from tests.factories import make_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of a process that knows nobody yet."""
    clock = Clock()
    for name, value in (("clock", clock), ("_known", {}), ("_checked_at", float("-inf"))):
        monkeypatch.setattr(VIEWERS, name, value)
    yield clock


def ask(client: Client) -> Any:
    return client.get("/admin/", headers={"X-Live": "1"})


def signed_in(name: str) -> Client:
    client = Client()
    user = User.objects.create_user(name, is_staff=True)
    group, _ = Group.objects.get_or_create(name="lookers")
    group.permissions.set(Permission.objects.filter(codename__in=["view_task", "view_worker"]))
    user.groups.add(group)
    user.user_permissions.set(Permission.objects.filter(codename="view_schedule"))
    client.force_login(user)
    return client


class TestFind:
    def test_fifty_who_look_cost_two_statements_a_second(self, clock: Clock) -> None:
        people = [signed_in(f"p{n}") for n in range(50)]
        for each in people:
            ask(each)
        with CaptureQueriesContext(connection) as queries:
            for _ in range(8):  # 40 seconds: each asks every five
                clock.now += BELIEVED_SECONDS
                if int(clock.now) % dashboard.KEPT_SECONDS < BELIEVED_SECONDS:
                    cache.delete("dashboard:overview")
                for each in people:
                    assert ask(each).status_code == 200
        sent = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
        assert len(sent) / 40 <= 2, len(sent)

    def test_what_is_shown_is_what_it_was(self, clock: Clock) -> None:
        client = signed_in("anna")
        make_task(queue="mail")
        full = ask(client)
        again = ask(client)
        assert again.content == full.content
        assert again["Cache-Control"] == full["Cache-Control"]
        assert again["Content-Security-Policy"] == full["Content-Security-Policy"]

    def test_believes_nobody_it_does_not_know(self, clock: Clock, client: Client) -> None:
        for key in ("", "x" * 32):
            client.cookies["sessionid"] = key
            assert ask(client).status_code == 302

    def test_keeps_a_bounded_number(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(viewers, "_MOST", 1)
        for name in ("anna", "bert"):
            ask(signed_in(name))
        assert len(VIEWERS._known) == 1

    def test_forgets_who_has_closed_the_page(self, clock: Clock) -> None:
        anna, bert = signed_in("anna"), signed_in("bert")
        ask(anna), ask(bert)
        clock.now += 50
        ask(anna)
        clock.now += 50
        ask(anna)
        assert len(VIEWERS._known) == 1

    def test_makes_room_when_all_have_closed_it(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(viewers, "_MOST", 1)
        ask(signed_in("anna"))
        clock.now += 100
        bert = signed_in("bert")
        ask(bert)
        assert list(VIEWERS._known) == [bert.cookies["sessionid"].value]


CHANGES = {
    "signed out": lambda: Session.objects.all().delete(),
    "session over": lambda: Session.objects.update(expire_date=timezone.now() - timedelta(hours=1)),
    "disabled": lambda: User.objects.update(is_active=False),
    "no staff": lambda: User.objects.update(is_staff=False),
    "another password": lambda: User.objects.update(password="!x"),
    "deleted": lambda: User.objects.all().delete(),
}


class TestRevoked:
    @pytest.mark.parametrize("change", CHANGES)
    def test_is_signed_out_as_soon_as_it_is_looked_at(self, clock: Clock, change: str) -> None:
        client = signed_in("anna")
        ask(client)
        CHANGES[change]()
        clock.now += BELIEVED_SECONDS
        assert ask(client).status_code == 302

    @pytest.mark.parametrize(
        "take",
        [
            lambda: User.objects.get().user_permissions.clear(),
            lambda: User.objects.get().groups.clear(),
            lambda: Group.objects.get(name="lookers").permissions.clear(),
        ],
    )
    def test_sees_no_more_than_is_left(self, clock: Clock, take: Any) -> None:
        client = signed_in("anna")
        ask(client)
        take()
        clock.now += BELIEVED_SECONDS
        may = dashboard.seen_by(User.objects.get())
        html = ask(client).content.decode()
        for part, shown in (("Latest failures", "task"), ("Processes", "worker"), ("Next schedules", "schedule")):
            assert (f"<h2>{part}" in html) == may[shown], part
        assert not all(may.values())

    def test_keeps_nobody_when_the_check_fails(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        client = signed_in("anna")
        ask(client)

        def fails(accounts: dict[str, int]) -> dict[str, str]:
            raise RuntimeError

        monkeypatch.setattr(viewers, "states_of", fails)
        clock.now += BELIEVED_SECONDS
        with pytest.raises(RuntimeError):
            ask(client)
        assert VIEWERS._known == {}
