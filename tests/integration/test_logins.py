"""Logging in: what fails too often is refused before a password is looked at, and who locks out whom."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client

from access_app.models import AuditEvent
from scheduler_project.accounts import backends, login_trail, throttle

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
PASSWORD = "correct horse 7 battery"
WRONG = "wrong"
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.9"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a line for the form, which is shown hundreds of times."""
    monkeypatch.setattr(admin.site, "login_template", "errors/message.html")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower limits, to reach them sooner; each page of the form is a template."""
    monkeypatch.setattr(throttle, "PER_ADDRESS", 7)
    monkeypatch.setattr(throttle, "PER_ACCOUNT", 9)


@pytest.fixture
def maria() -> User:
    return User.objects.create_superuser("maria", password=PASSWORD)


def attempt(
    name: str = "maria", password: str = WRONG, *, address: str = HERE, browser: Client | None = None, **more: Any
) -> Any:
    browser = browser or Client()
    return browser.post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address, **more)


def fail(times: int, name: str = "maria", **where: Any) -> list[int]:
    return [attempt(name, **where).status_code for _ in range(times)]


def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that are looked at from now on."""
    seen: list[str] = []
    for place in ("django.contrib.auth.hashers.check_password", "django.contrib.auth.base_user.check_password"):
        monkeypatch.setattr(place, lambda raw, *rest, **more: bool(seen.append(raw)))
    monkeypatch.setattr(User, "set_password", lambda self, raw: seen.append(raw))
    return seen


class TestLimits:
    def test_are_as_documented(self) -> None:
        limits = (throttle.PER_PAIR, throttle.PER_KNOWN_BROWSER, throttle.PER_ADDRESS, throttle.PER_ACCOUNT)
        assert limits == (5, 10, 30, 60)
        assert timedelta(minutes=15) == django_settings.AXES_COOLOFF_TIME

    def test_an_account_from_an_address(self, maria: User) -> None:
        assert fail(throttle.PER_PAIR) == [200] * (throttle.PER_PAIR - 1) + [429]
        assert attempt(password=PASSWORD).status_code == 429
        assert attempt(password=PASSWORD, address=ELSEWHERE).status_code == 302

    def test_an_address(self, maria: User, few: None) -> None:
        fails = [attempt(f"name{number}").status_code for number in range(throttle.PER_ADDRESS)]
        assert fails == [200] * (throttle.PER_ADDRESS - 1) + [429]
        assert attempt("another").status_code == 429
        assert attempt(password=PASSWORD).status_code == 429
        assert attempt(password=PASSWORD, address=ELSEWHERE).status_code == 302

    def test_an_account(self, maria: User, few: None) -> None:
        fails = [attempt(address=f"10.0.0.{number}").status_code for number in range(throttle.PER_ACCOUNT)]
        assert fails == [200] * (throttle.PER_ACCOUNT - 1) + [429]
        assert attempt(password=PASSWORD, address="10.0.1.1").status_code == 429

    @pytest.mark.parametrize("name", ["maria", "nobody"])
    def test_are_the_same_for_accounts_that_do_not_exist(self, maria: User, name: str) -> None:
        assert fail(throttle.PER_PAIR, name) == [200] * (throttle.PER_PAIR - 1) + [429]

    @pytest.mark.parametrize("fields", [{"is_staff": False}, {"is_active": False}])
    def test_count_right_passwords_of_accounts_that_may_not_log_in(self, maria: User, fields: dict[str, bool]) -> None:
        User.objects.update(**fields)
        answers = [attempt(password=PASSWORD).status_code for _ in range(throttle.PER_PAIR)]
        assert answers[-1] == 429

    def test_take_an_ipv6_network_for_one_client(self, maria: User) -> None:
        fails = [attempt(address=f"2001:db8:1:2::{number}").status_code for number in range(throttle.PER_PAIR)]
        assert fails[-1] == 429
        assert attempt(password=PASSWORD, address="2001:db8:1:3::1").status_code == 302

    @pytest.mark.parametrize("peer", ["", "unix:"])
    def test_hold_for_clients_without_an_address(self, maria: User, peer: str) -> None:
        assert fail(throttle.PER_PAIR, address=peer)[-1] == 429
        assert [kept.ip_address for kept in AccessAttempt.objects.all()] == ["::"]

    def test_are_not_evaded_by_headers_names_or_cookies(self, maria: User) -> None:
        browser = Client()
        for number in range(throttle.PER_PAIR):
            browser.cookies["known_browser"] = f"{number}.forged:1:forged"
            headers = {"X-Forwarded-For": f"10.0.0.{number}", "User-Agent": f"agent {number}"}
            response = attempt(" maria ", browser=browser, headers=headers)
        assert response.status_code == 429

    def test_are_kept_by_threads_that_try_at_once(self) -> None:
        """The places are fewer than the threads of a process: what passes before it is counted is bounded by them."""
        assert backends.STRANGERS._initial_value + backends.KNOWN._initial_value < 8  # type: ignore[attr-defined]


class TestLock:
    @pytest.mark.parametrize(
        "accept", ["", "/", "text", "*/*;q=x", ";;;", "a/b;q=-1,,", "text/html;q=0", "\u00e9/\u00e9"]
    )
    def test_answers_any_accept_header(self, maria: User, accept: str) -> None:
        AccessAttempt.objects.create(username="maria", ip_address=HERE, user_agent="", failures_since_start=5)
        assert attempt(headers={"Accept": accept}).status_code == 429

    def test_comes_before_the_password_is_looked_at(self, maria: User, monkeypatch: pytest.MonkeyPatch) -> None:
        fail(throttle.PER_PAIR)
        seen = hashes(monkeypatch)
        assert attempt(password=PASSWORD).status_code == 429
        assert seen == []
        attempt("other")
        assert seen == [WRONG]

    def test_ends_by_itself_however_often_one_tries(self, maria: User) -> None:
        with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC), tick=False) as clock:
            fail(throttle.PER_PAIR)
            for _ in range(5):
                clock.shift(timedelta(minutes=2.99))
                assert attempt(password=PASSWORD).status_code == 429
            clock.shift(timedelta(minutes=0.05))
            assert attempt(password=PASSWORD).status_code == 302

    def test_says_how_long(self, maria: User) -> None:
        with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC), tick=False) as clock:
            fail(throttle.PER_PAIR)
            clock.shift(timedelta(minutes=10))
            response = attempt()
        assert (response.status_code, response["Retry-After"]) == (429, "300")
        assert "Try again in 5 minutes." in response.content.decode()
        assert "text/html" in response["Content-Type"]

    @pytest.mark.parametrize("accept", ["application/json", "application/problem+json", "application/json, */*;q=0.1"])
    def test_is_json_for_those_who_ask_for_it(self, maria: User, accept: str) -> None:
        fail(throttle.PER_PAIR)
        response = attempt(headers={"Accept": accept})
        problem = response.json()
        assert (response.status_code, problem["status"], problem["type"]) == (
            429,
            429,
            "urn:problem-type:task-scheduler:too-many-attempts",
        )
        assert int(response["Retry-After"]) > 800

    def test_leaves_the_page_itself_and_other_sessions_alone(self, maria: User) -> None:
        inside = Client(REMOTE_ADDR=HERE)
        inside.force_login(maria)
        fail(throttle.PER_PAIR)
        assert Client(REMOTE_ADDR=HERE).get(LOGIN).status_code == 200
        assert inside.get("/admin/").status_code == 200

    @pytest.mark.parametrize("command", [("axes_reset_username", "maria"), ("axes_reset_ip", HERE), ("axes_reset",)])
    def test_is_lifted_by_a_command(self, maria: User, command: tuple[str, ...], capsys: Any) -> None:
        fail(throttle.PER_PAIR)
        call_command(*command)
        assert attempt(password=PASSWORD).status_code == 302


class TestKnownBrowser:
    @pytest.fixture
    def browser(self, maria: User) -> Client:
        browser = Client()
        assert attempt(password=PASSWORD, browser=browser).status_code == 302
        browser.post("/admin/logout/")
        return browser

    def test_is_let_in_whatever_strangers_try(self, browser: Client, few: None) -> None:
        for number in range(throttle.PER_ACCOUNT):
            attempt(address=f"10.0.0.{number}")
        fail(throttle.PER_PAIR, address=HERE)
        for number in range(throttle.PER_ADDRESS):
            attempt(f"name{number}", address=HERE)
        assert attempt(password=PASSWORD).status_code == 429
        assert attempt(password=PASSWORD, browser=browser).status_code == 302

    def test_may_fail_only_so_often_itself(self, browser: Client) -> None:
        tries = [attempt(browser=browser, address=f"10.0.0.{number}") for number in range(throttle.PER_KNOWN_BROWSER)]
        assert [response.status_code for response in tries] == [200] * (throttle.PER_KNOWN_BROWSER - 1) + [429]
        assert attempt(password=PASSWORD).status_code == 302  # others do not suffer from it

    def test_is_known_for_its_own_account_alone(self, browser: Client) -> None:
        User.objects.create_superuser("otto", password=PASSWORD)
        assert fail(throttle.PER_PAIR, "otto", browser=browser)[-1] == 429

    def test_has_a_cookie_that_no_script_reads_and_nobody_forges(self, browser: Client) -> None:
        morsel = browser.cookies["known_browser"]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Lax", "/admin/")
        assert morsel["max-age"] == 90 * 24 * 3600
        value = morsel.value
        for forged in (value[:-1], "x" + value, value.replace(value[:4], "0000")):
            browser.cookies["known_browser"] = forged
            browser.cookies.pop("sessionid", None)
            AccessAttempt.objects.all().delete()
            assert fail(throttle.PER_PAIR, browser=browser)[-1] == 429

    def test_is_forgotten_after_a_while(self, browser: Client) -> None:
        with time_machine.travel(datetime.now(UTC) + timedelta(days=91)):
            assert fail(throttle.PER_PAIR, browser=browser)[-1] == 429


class TestSuccess:
    def test_forgives_what_the_person_typed(self, maria: User) -> None:
        fail(throttle.PER_PAIR - 1)
        assert attempt(password=PASSWORD).status_code == 302
        assert fail(throttle.PER_PAIR)[-2:] == [200, 429]

    def test_forgives_nothing_else(self, maria: User) -> None:
        """Somebody with an account of their own could otherwise go on guessing for ever."""
        User.objects.create_user("eve", password=PASSWORD, is_staff=True)
        fail(throttle.PER_PAIR - 1)
        fail(3, address=ELSEWHERE)
        assert attempt("eve", PASSWORD).status_code == 302
        assert attempt().status_code == 429
        assert AccessAttempt.objects.filter(ip_address=ELSEWHERE).get().failures_since_start == 3

    def test_forgives_nothing_that_was_tried_elsewhere(self, maria: User) -> None:
        fail(throttle.PER_PAIR)
        assert attempt(password=PASSWORD, address=ELSEWHERE).status_code == 302
        assert attempt().status_code == 429


class TestOwnPassword:
    def change(self, browser: Client, old: str) -> Any:
        new = {"new_password1": "another staple 9", "new_password2": "another staple 9"}
        return browser.post("/admin/password_change/", {"old_password": old, **new}, REMOTE_ADDR=HERE)

    def test_cannot_be_guessed_on_an_unlocked_screen(self, maria: User) -> None:
        browser = Client()
        browser.force_login(maria)
        answers = [self.change(browser, f"guess {number}").status_code for number in range(throttle.PER_PAIR)]
        assert answers == [200] * (throttle.PER_PAIR - 1) + [429]
        assert self.change(browser, PASSWORD).status_code == 429
        maria.refresh_from_db()
        assert maria.check_password(PASSWORD)

    def test_is_changed_with_the_old_one(self, maria: User) -> None:
        browser = Client()
        browser.force_login(maria)
        response = self.change(browser, WRONG)
        assert "Your old password was entered incorrectly" in response.content.decode()
        assert self.change(browser, PASSWORD).status_code == 302
        assert browser.get("/admin/").status_code == 200

    def test_is_stored_nowhere(self, maria: User) -> None:
        browser = Client()
        browser.force_login(maria)
        self.change(browser, "guessed old")
        attempt("maria", "guessed at log-in")
        kept = f"{list(AccessAttempt.objects.values())}{list(AuditEvent.objects.values())}"
        for secret in ("guess", "staple", "csrf"):
            assert secret not in kept


class TestPlaces:
    @pytest.fixture(autouse=True)
    def _one_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backends, "STRANGERS", threading.BoundedSemaphore(1))

    def test_are_few_for_strangers_and_apart_for_known_browsers(self, maria: User) -> None:
        browser = Client()
        attempt(password=PASSWORD, browser=browser)
        with backends.STRANGERS:
            response = attempt(password=PASSWORD)
            assert (response.status_code, response["Retry-After"]) == (429, "1")
            assert "Too many people are logging in" in response.content.decode()
            assert attempt(password=PASSWORD, browser=browser).status_code == 302
            assert attempt("otto", browser=browser).status_code == 429
        assert attempt(password=PASSWORD).status_code == 302

    def test_bound_the_page_of_ones_own_password_too(self, maria: User) -> None:
        browser = Client()
        browser.force_login(maria)
        with backends.STRANGERS:
            response = browser.post("/admin/password_change/", {"old_password": WRONG})
        assert (response.status_code, response["Retry-After"]) == (429, "1")

    def test_that_are_taken_count_nothing(self, maria: User) -> None:
        with backends.STRANGERS:
            assert set(fail(throttle.PER_PAIR + 1)) == {429}
        assert not AccessAttempt.objects.exists()
        assert attempt(password=PASSWORD).status_code == 302

    def test_are_not_taken_by_those_who_are_locked_out(self, maria: User) -> None:
        """One address could otherwise keep all others out."""
        fail(throttle.PER_PAIR)
        with backends.STRANGERS:
            for name in ("maria", " maria ", "\uff4daria"):  # the form reads them alike
                assert "failed too often" in attempt(name, password=PASSWORD).content.decode()

    def test_are_given_back_whatever_happens(self, maria: User, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(User, "check_password", broken)
            attempt()
        assert attempt(password=PASSWORD).status_code == 302


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("out of order")


class TestSessions:
    def test_end_after_the_hours_of_the_setting_however_they_are_used(self, maria: User) -> None:
        assert django_settings.SCHEDULER.session_lifetime == timedelta(hours=12)
        with time_machine.travel(datetime.now(UTC), tick=False) as clock:
            browser = Client()
            attempt(password=PASSWORD, browser=browser)
            assert browser.cookies["sessionid"]["max-age"] == 12 * 3600
            for _ in range(11):
                clock.shift(timedelta(hours=1))
                session = browser.session
                session["used"] = str(clock)
                session.save()
                assert browser.get("/admin/").status_code == 200
            clock.shift(timedelta(hours=1))
            assert browser.get("/admin/").status_code == 302

    def test_end_with_the_staff_status(self, maria: User) -> None:
        browser = Client()
        attempt(password=PASSWORD, browser=browser)
        User.objects.update(is_staff=False)
        assert browser.get("/admin/").status_code == 302
        assert browser.get("/tasks").status_code == 401

    def test_that_have_ended_are_cleared_away(self, maria: User) -> None:
        with time_machine.travel(datetime.now(UTC) - timedelta(days=3)):
            attempt(password=PASSWORD)
        assert Session.objects.count() == 1
        [old] = Session.objects.all()
        attempt(password=PASSWORD)
        assert not Session.objects.filter(pk=old.pk).exists()


class TestTrail:
    def rows(self, *actions: str) -> list[tuple[str, str, str, Any]]:
        rows = AuditEvent.objects.filter(action__in=actions) if actions else AuditEvent.objects.all()
        return list(rows.order_by("id").values_list("actor", "action", "target", "detail"))

    def test_tells_who_came_and_went(self, maria: User, caplog: pytest.LogCaptureFixture) -> None:
        browser = Client()
        with caplog.at_level(logging.INFO):
            attempt(password=PASSWORD, browser=browser)
            browser.post("/admin/logout/", REMOTE_ADDR=ELSEWHERE)
            attempt(password=PASSWORD, browser=browser)
        new, known = {"address": HERE, "knownBrowser": False}, {"address": HERE, "knownBrowser": True}
        assert self.rows() == [
            ("user:maria", "login_succeeded", "user:maria", new),
            ("user:maria", "logged_out", "user:maria", {"address": ELSEWHERE}),
            ("user:maria", "login_succeeded", "user:maria", known),
        ]
        assert [event for event in events(caplog) if event.startswith("log")] == [
            "login_succeeded",
            "logged_out",
            "login_succeeded",
        ]

    def test_tells_who_failed_and_was_locked_out(self, maria: User, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            fail(throttle.PER_PAIR + 3)
        facts = {"username": "maria", "address": HERE}
        failed = (f"address:{HERE}", "login_failed", "login:failed", facts)
        locked = (f"address:{HERE}", "login_locked", "login:locked", facts)
        assert self.rows() == [*[failed] * throttle.PER_PAIR, locked]
        assert [event for event in events(caplog) if event.startswith("login")] == [
            *["login_failed"] * throttle.PER_PAIR,
            "login_locked",
        ]

    def test_shows_a_strangers_text_as_text(self, caplog: pytest.LogCaptureFixture) -> None:
        name = "evil\x1b[2J\u202e\r\nuser:root" + "x" * 100
        with caplog.at_level(logging.INFO):
            attempt(name)
        [row] = AuditEvent.objects.all()
        [kept] = AccessAttempt.objects.all()
        shown = [row.detail["username"], row.reason, kept.username]
        for text in shown:
            assert text.isprintable()
        assert len(row.detail["username"]) == 64
        [line] = [record.msg for record in caplog.records if record.msg["event"] == "login_failed"]  # type: ignore[index, call-overload]
        assert line["username"] == row.detail["username"]

    def test_is_not_filled_by_strangers(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(login_trail, "MOST_ROWS", 7)
        with caplog.at_level(logging.INFO):
            for number in range(12):
                attempt(f"name{number}", address=f"10.0.0.{number}")
        assert len(self.rows("login_failed")) == 7
        assert events(caplog).count("login_failed") == 12
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=61)):
            attempt("later", address="10.0.1.1")
        assert len(self.rows("login_failed")) == 8

    def test_leaves_room_for_locks_when_failures_are_many(self, maria: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(login_trail, "MOST_ROWS", 2)
        fail(throttle.PER_PAIR)
        assert [action for _, action, _, _ in self.rows()] == ["login_failed", "login_failed", "login_locked"]

    def test_has_no_line_of_axes_own(self, maria: User, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            fail(throttle.PER_PAIR)
        assert not [record for record in caplog.records if record.name.startswith("axes") and record.levelno < 40]

    def test_is_silent_about_scripts(self, client: Client, maria: User) -> None:
        client.force_login(maria)
        client.logout()
        assert self.rows() == []


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(record.msg["event"]) for record in caplog.records if isinstance(record.msg, dict)]


class TestTable:
    def test_of_failures_keeps_names_addresses_and_counts(self, maria: User) -> None:
        attempt(headers={"User-Agent": "curl/1", "Accept": "x/y"}, QUERY_STRING="next=/admin/&token=t")
        attempt()
        [kept] = AccessAttempt.objects.all()
        assert (kept.username, kept.ip_address, kept.user_agent, kept.failures_since_start) == ("maria", HERE, "", 2)
        assert (kept.get_data, kept.post_data, kept.http_accept, kept.path_info) == ("", "", "", "")

    def test_forgets_what_is_older_than_the_limits_look(self, maria: User) -> None:
        with time_machine.travel(datetime.now(UTC) - timedelta(hours=1)):
            fail(3)
        attempt("other", address=ELSEWHERE)
        assert [kept.username for kept in AccessAttempt.objects.all()] == ["other"]


def test_pages_of_staff_cost_no_query_more(client: Client, maria: User, django_assert_num_queries: Any) -> None:
    client.force_login(maria)
    with django_assert_num_queries(2):  # session and account
        assert client.get("/admin/jsi18n/").status_code == 200
