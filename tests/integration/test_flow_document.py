"""docs/flow-control.md is true: every request on the page is sent, in its order, and every command line is read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from tests.factories import make_key
from tests.support.api import Api
from tests.support.environment_names import ROOT

PAGE = (ROOT / "docs" / "flow-control.md").read_text()
BASE = "https://tasks.example"
#: What an address or a body may hold for the reader to fill in.
ELISION = "…"


def lines() -> Iterator[str]:
    """The indented lines of the page that are code, each with what it goes on with."""
    pictures = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    joined = pictures.replace("\\\n", " ")
    yield from (line.strip() for line in joined.splitlines() if line.startswith("    "))


@dataclass(frozen=True)
class Call:
    """One ``curl`` of the page."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any

    def send(self, api: Api) -> Any:
        headers = {name: value for name, value in self.headers.items() if name != "Authorization"}
        return api.send(self.method, self.path, self.body, **headers)


def read(line: str) -> Call:
    """Raises when it says something that is not sent as it stands."""
    command, *words = shlex.split(line)
    assert command == "curl"
    method, path, headers, body = "GET", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = json.loads(words.pop(0))
        else:
            assert word.startswith(f"{BASE}/"), f"{word!r} in {line!r}"
            path = word.removeprefix(BASE)
    return Call(method, path, headers, body)


CALLS = [read(line) for line in lines() if line.startswith("curl ")]
COMMANDS = [line for line in lines() if line.startswith("manage.py ")]


class TestRequests:
    def test_are_answered_as_they_stand_in_the_order_of_the_page(self, db: None) -> None:
        api = Api(make_key())
        for call in CALLS:
            response = call.send(api)
            assert response.status_code in (200, 201, 204), (call, response.content)
        assert len(CALLS) >= 15

    def test_leave_nothing_to_be_filled_in(self) -> None:
        assert [line for line in lines() if ELISION in line and line.startswith(("curl", "{", "manage.py"))] == []

    def test_say_who_asks_and_what_they_send(self) -> None:
        for call in CALLS:
            assert call.headers["Authorization"] == "Bearer $KEY", call
            assert (call.headers.get("Content-Type") == "application/json") == (call.body is not None), call

    def test_on_the_page_are_found_all(self) -> None:
        """Also one in a block of another kind would be sent, or be seen here."""
        assert PAGE.count("curl ") == len(CALLS)


class TestBodies:
    def test_that_stand_alone_make_tasks(self, db: None) -> None:
        """A body on lines of its own, indented: it is one of ``POST /tasks``."""
        text = "\n".join(lines())
        bodies = re.findall(r"^\{.*?\}$", text, flags=re.MULTILINE | re.DOTALL)
        assert bodies
        for body in bodies:
            assert Api(make_key()).post("/tasks", json.loads(body)).status_code in (200, 201), body


class TestCommands:
    @pytest.mark.parametrize("line", COMMANDS)
    def test_are_understood(self, line: str, tmp_path: Path) -> None:
        _, name, *arguments = shlex.split(line)
        parser = load_command_class("workers_app", name).create_parser("manage.py", name)
        assert parser.parse_args(arguments)


class TestSections:
    def test_are_listed_at_the_top(self) -> None:
        listed = re.findall(r"^- \[(.*?)\]\(#(.*?)\)$", PAGE.partition("\n## ")[0], flags=re.MULTILINE)
        headings = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
        assert [title for title, _ in listed] == headings
        assert all(anchor == title.lower().replace(" ", "-") for title, anchor in listed)
