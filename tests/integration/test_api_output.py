"""Output over HTTP: pages, events and a text from one cursor, and who may read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.test import Client, RequestFactory

from access_app.http.problems import Problem
from access_app.http.streams import DOZE
from tasks_app.api import output
from tasks_app.api.output import Events, stream_of
from tasks_app.following import Following
from tasks_app.models import Task
from tasks_app.task_output import PAGE, Ask, Cursor
from tests.factories import make_key, make_output, make_task
from tests.support.api import Api, fields_of, problem_of

LINES = ["one\n", "two\nthree\n", "<b>vier</b>\n"]


@pytest.fixture
def ended(db: None) -> Task:
    """A task that has ended in its second attempt, with something left out of it."""
    task = make_task(status="SUCCESS", attempt=2)
    make_output(task, *LINES)
    make_output(task, "head\n", attempt=2)
    make_output(task, "tail\n", attempt=2, start=105, line=21)
    return task


class TestPages:
    def test_go_from_cursor_to_cursor(self, api: Api, ended: Task) -> None:
        page = api.get(f"/tasks/{ended.pk}/output").json()
        assert [(part["attempt"], part["seq"], part["line"], part["text"]) for part in page["content"]] == [
            (1, 4, 1, "one\n"),
            (1, 14, 2, "two\nthree\n"),
            (1, 26, 4, "<b>vier</b>\n"),
            (2, 5, 1, "head\n"),
            (2, 110, 21, "tail\n"),
        ]
        assert (page["next"], page["leftOutBytes"], page["ended"]) == ("2.110", 100, True)
        assert [part["leftOutBefore"] for part in page["content"]] == [0, 0, 0, 0, 100]
        page = api.get(f"/tasks/{ended.pk}/output?after=1.26&attempt=2").json()
        assert [part["seq"] for part in page["content"]] == [5, 110]
        page = api.get(f"/tasks/{ended.pk}/output?after=2.110").json()
        assert (page["content"], page["next"], page["ended"]) == ([], "2.110", True)

    def test_hold_so_many_parts_and_end_with_the_last(self, api: Api) -> None:
        task = make_task(status="SUCCESS", attempt=1)
        make_output(task, *(f"{number}\n" for number in range(PAGE + 1)))
        first = api.get(f"/tasks/{task.pk}/output").json()
        assert (len(first["content"]), first["ended"]) == (PAGE, False)
        last = api.get(f"/tasks/{task.pk}/output?after={first['next']}").json()
        assert ([part["text"] for part in last["content"]], last["ended"]) == ([f"{PAGE}\n"], True)

    def test_of_a_task_that_has_written_nothing_say_whether_it_may(self, api: Api) -> None:
        for status, attempt, over in (("PENDING", 0, False), ("SUCCESS", 1, True)):
            page = api.get(f"/tasks/{make_task(status=status, attempt=attempt).pk}/output").json()
            assert page == {"content": [], "next": None, "leftOutBytes": 0, "ended": over}

    def test_find_lines_whatever_their_letters(self, api: Api, ended: Task) -> None:
        page = api.get(f"/tasks/{ended.pk}/output?search=T").json()
        assert [(part["attempt"], part["line"], part["text"]) for part in page["content"]] == [
            (1, 2, "two"),
            (1, 3, "three"),
            (2, 21, "tail"),
        ]
        assert api.get(f"/tasks/{ended.pk}/output?search=%25").json()["content"] == []

    @pytest.mark.parametrize("line", ["İstanbul", "ΣΊΣΥΦΟΣ", "STRASSE", "Ärger"])
    def test_find_whatever_is_asked_for_as_it_stands(self, api: Api, line: str) -> None:
        task = make_task(status="SUCCESS", attempt=1)
        make_output(task, f"{line}\n")
        [found] = api.get(f"/tasks/{task.pk}/output?{urlencode({'search': line})}").json()["content"]
        assert found["text"] == line

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("after=1", "after"),
            ("after=-1.0", "after"),
            ("after=9999999999.0", "after"),
            ("attempt=0", "attempt"),
            ("search=", "search"),
            ("search=a%0Ab", "search"),
            ("search=" + "a" * 201, "search"),
            ("follow=true", "follow"),
        ],
    )
    def test_refuse_what_they_cannot_read(self, api: Api, ended: Task, query: str, field: str) -> None:
        assert fields_of(api.get(f"/tasks/{ended.pk}/output?{query}")) == {field}

    def test_are_for_whoever_may_read_tasks(self, ended: Task) -> None:
        path = f"/tasks/{ended.pk}/output"
        problem_of(Api(None).get(path), 401)
        for accept in ("application/json", "text/plain", "text/event-stream"):
            problem_of(Api(make_key("tasks:write")).get(path, Accept=accept), 403)
        assert Api(make_key("tasks:read")).get(path).status_code == 200
        problem_of(Api(make_key()).get(f"/tasks/{UUID(int=1)}/output", Accept="text/event-stream"), 404)


class TestText:
    def test_is_all_of_it_with_what_is_missing(self, api: Api, ended: Task) -> None:
        response = api.get(f"/tasks/{ended.pk}/output", Accept="text/plain")
        assert response["Content-Disposition"] == f'attachment; filename="task-{ended.pk}.txt"'
        text = b"".join(response.streaming_content).decode()
        assert text == "one\ntwo\nthree\n<b>vier</b>\n\n[attempt 2]\nhead\n\n[100 bytes left out]\ntail\n"
        response = api.get(f"/tasks/{ended.pk}/output?attempt=2", Accept="text/plain")
        assert b"".join(response.streaming_content).startswith(b"head\n")

    def test_is_read_page_by_page(self, api: Api) -> None:
        task = make_task(status="SUCCESS", attempt=1)
        make_output(task, *(f"{number}\n" for number in range(2 * PAGE + 1)))
        response = api.get(f"/tasks/{task.pk}/output", Accept="text/plain")
        assert b"".join(response.streaming_content).decode().split() == [str(number) for number in range(2 * PAGE + 1)]

    def test_knows_no_search(self, api: Api, ended: Task) -> None:
        for accept in ("text/plain", "text/event-stream"):
            assert fields_of(api.get(f"/tasks/{ended.pk}/output?search=a", Accept=accept)) == {"search"}


class Alarm:
    """A server that can wake a response up."""

    def __init__(self) -> None:
        self.rang = 0

    def wake(self) -> None:
        self.rang += 1


class Looking(Following):
    """Looks when the test says so, over the connection of the test."""

    def _read(self) -> None:
        self._is_over()

    def look_now(self) -> None:
        self.look(None)


@pytest.fixture
def following() -> Looking:
    return Looking()


@pytest.fixture
def alarm() -> Alarm:
    return Alarm()


def told(pieces: bytes) -> list[tuple[str, str, Any]]:
    """The events of some pieces: id, kind, data."""
    found = []
    for block in pieces.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith((":", "retry")))
        if fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


class TestEvents:
    def test_say_what_is_new_and_then_that_it_has_ended(self, ended: Task, following: Looking, alarm: Alarm) -> None:
        events = Events(Ask(ended.pk, Cursor(1, 14)), alarm, most=9, following=following)
        assert (next(events), next(events)) == (b"retry: 500\n\n", b"")
        following.look_now()
        assert alarm.rang == 1
        found = told(next(events))
        assert [(at, kind) for at, kind, _ in found] == [
            ("1.26", "output"),
            ("2.5", "output"),
            ("2.105", "left-out"),
            ("2.110", "output"),
            ("2.110", "ended"),
        ]
        assert (found[2][2], found[4][2]) == ({"attempt": 2, "bytes": 100}, {"status": "SUCCESS"})
        assert list(events) == []
        assert len(following) == 0

    def test_go_on_behind_what_is_left_out_without_saying_it_twice(
        self, ended: Task, following: Looking, alarm: Alarm
    ) -> None:
        events = Events(Ask(ended.pk, Cursor(2, 105)), alarm, most=9, following=following)
        next(events)
        following.look_now()
        assert [kind for _, kind, _ in told(next(events))] == ["output", "ended"]

    def test_take_the_place_from_whoever_comes_again(self, ended: Task) -> None:
        request = RequestFactory().get("/", headers={"Last-Event-ID": "no cursor"})
        with pytest.raises(Problem) as caught:
            stream_of(request, Ask(ended.pk))
        assert set(caught.value.errors) == {"Last-Event-ID"}

    def test_hold_one_page_however_slow_their_reader_is(self, ended: Task, following: Looking, alarm: Alarm) -> None:
        events = Events(Ask(ended.pk), alarm, most=9, following=following)
        following.look_now()
        make_output(ended, "more\n", attempt=3)
        following.look_now()
        next(events)
        assert [at for at, _, _ in told(next(events))][-1] == "2.110"

    def test_are_refused_where_too_many_follow(
        self, api: Api, ended: Task, alarm: Alarm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(output, "MOST", 0)
        monkeypatch.setattr(output, "MOST_IN_THREADS", 0)
        for environ in ({DOZE: alarm}, {}):
            api.allow_5xx = True
            response = api.send("GET", f"/tasks/{ended.pk}/output", environ=environ, Accept="text/event-stream")
            assert (problem_of(response, 503)["detail"][:15], response["Retry-After"]) == ("Too many follow", "5")

    def test_are_let_go_when_nobody_reads_them(self, ended: Task, following: Looking, alarm: Alarm) -> None:
        events = Events(Ask(ended.pk), alarm, most=1, following=following)
        with closing(events):
            assert len(following) == 1
        assert len(following) == 0

    def test_end_after_a_while_and_show_signs_of_life_before(
        self, following: Looking, alarm: Alarm, monkeypatch: pytest.MonkeyPatch, db: None
    ) -> None:
        monkeypatch.setattr(output, "BEAT_SECONDS", 0.0)
        events = Events(Ask(make_task(status="PENDING").pk), alarm, most=1, following=following)
        next(events)
        following.look_now()
        assert next(events) == b": nothing new\n\n"
        events._until = 0.0
        assert list(events) == []

    def test_have_headers_that_no_one_in_between_holds_them_back(self, api: Api, ended: Task) -> None:
        assert api.send("HEAD", f"/tasks/{ended.pk}/output", Accept="text/event-stream").status_code == 200
        response = api.send("GET", f"/tasks/{ended.pk}/output", environ={DOZE: Alarm()}, Accept="text/event-stream")
        with closing(response):
            assert response["Content-Type"] == "text/event-stream; charset=utf-8"
            assert (response["X-Accel-Buffering"], response["Cache-Control"]) == ("no", "no-store")
            pieces: Iterator[bytes] = iter(response.streaming_content)
            assert next(pieces) == b"retry: 500\n\n"


@pytest.mark.django_db
class TestViewer:
    """What the page of the admin reads."""

    def test_reads_as_the_api_does(self, staff: Client, api: Api, ended: Task) -> None:
        address = f"/admin/tasks_app/task/{ended.pk}/lines/"
        assert staff.get(f"{address}?attempt=2").json() == api.get(f"/tasks/{ended.pk}/output?attempt=2").json()
        refused = staff.get(f"{address}?attempt=x&other=1")
        assert (refused.status_code, {each["field"] for each in refused.json()["errors"]}) == (400, {"other"})

    def test_takes_one_attempt_along(self, staff: Client, ended: Task) -> None:
        for query, name, first in (("", "-attempt-2.txt", b"head"), ("?attempt=1", "-attempt-1.txt", b"one\n")):
            response = staff.get(f"/admin/tasks_app/task/{ended.pk}/text/{query}")
            assert name in response["Content-Disposition"]
            assert response.content.startswith(first)

    def test_offers_each_attempt(self, staff: Client, ended: Task) -> None:
        context = staff.get(f"/admin/tasks_app/task/{ended.pk}/output/").context_data
        assert (context["attempts"], context["latest"]) == ([1, 2], 2)
