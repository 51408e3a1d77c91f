"""docs/acting-on-many.md is true: its requests are sent in their order, and its tables name what there is."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from tasks_app.acts import BulkAction, Skip
from tests.factories import make_key, make_task
from tests.support.api import Api
from tests.support.environment_names import ROOT

pytestmark = pytest.mark.django_db

PAGE = (ROOT / "docs" / "acting-on-many.md").read_text()
BASE = "https://tasks.example"


def commands() -> list[list[str]]:
    """The words of each ``curl`` of the page."""
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    found = re.findall(r"^    curl (?:.*\n(?:     +.*\n)*)", text, flags=re.MULTILINE)
    return [shlex.split(line)[1:] for each in found for line in re.split(r"\n(?=    curl )", each)]


def send(api: Api, words: list[str], known: dict[str, str]) -> Any:
    """Send one, with what the page calls $TOKEN and $ID in it."""
    [url] = [word for word in words if word.startswith(BASE)]
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    for name, value in known.items():
        url, body = url.replace(f"${name}", value), body and body.replace(f"${name}", value)
    return api.send(method, url.removeprefix(BASE), body and body.encode())


class TestRequests:
    def test_are_answered_as_they_stand_in_the_order_of_the_page(self) -> None:
        make_task(queue="mail", status="FAILED")
        api, known, statuses = Api(make_key()), {"TOKEN": "", "ID": ""}, []
        for words in commands():
            response = send(api, words, known)
            shown = response.json()
            known |= {"TOKEN": shown.get("token", known["TOKEN"]), "ID": shown.get("id", known["ID"])}
            statuses.append(response.status_code)
        assert statuses == [200, 202, 200, 200, 200, 200, 200]
        assert len(statuses) == PAGE.count("curl ")


class TestTables:
    def test_name_every_action_and_every_reason(self) -> None:
        rows = re.findall(r"^\| `?([A-Za-z_]+)`? \|", PAGE, flags=re.MULTILINE)
        assert {row for row in rows if row in set(BulkAction)} == set(BulkAction)
        assert {row for row in rows if row.isupper()} == set(Skip)


class TestSections:
    def test_are_listed_at_the_top(self) -> None:
        listed = re.findall(r"^- \[(.*?)\]\(#(.*?)\)$", PAGE.partition("\n## ")[0], flags=re.MULTILINE)
        assert [title for title, _ in listed] == re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
        assert all(anchor == re.sub(r"[^a-z-]", "", title.lower().replace(" ", "-")) for title, anchor in listed)
