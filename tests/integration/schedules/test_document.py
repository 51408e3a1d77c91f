"""docs/schedules.md is true: its requests, statements and programs are run, its tables compared with the code."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from schedules_app.firing_rules import FireState
from schedules_app.models import Schedule
from schedules_app.new_schedules import NewSchedule
from schedules_app.recurrence import Definition, check
from tests.factories import make_key
from tests.support.api import Api
from tests.support.environment_names import ROOT
from tests.support.schedules import make_schedule

PAGE = (ROOT / "docs" / "schedules.md").read_text()
SOURCES = sorted((ROOT / "schedules_app").glob("*.py"))


def code(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header."""
    table = PAGE.partition(f"\n{header}\n")[2].partition("\n\n")[0]
    assert table, f"no table {header}"
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[1:]]


@dataclass(frozen=True)
class Call:
    """One ``api`` line of the page. ``name``: the shell variable that keeps the id of the answer."""

    name: str | None
    method: str
    path: str
    body: Any

    def send(self, api: Api, variables: dict[str, str]) -> Any:
        path = re.sub(r"\$(\w+)", lambda found: variables[found[1]], self.path)
        return api.send(self.method, path, self.body)


def calls() -> Iterator[Call]:
    for block in code("sh"):
        for text in re.split(r"^(?=\w+=\$\(api |api )", block, flags=re.MULTILINE):
            if "api " not in text:
                continue
            found = re.fullmatch(r"(?:(\w+)=\$\()?api (.*?)(?: \| id\))?\s*", text, re.DOTALL)
            assert found is not None, text
            words = shlex.split(found[2])
            path = next(word.removeprefix("$BASE") for word in words if word.startswith("$BASE"))
            body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
            method = words[words.index("-X") + 1] if "-X" in words else "GET" if body is None else "POST"
            yield Call(found[1], method, path, body)


class TestRequests:
    def test_are_answered_as_they_stand_in_the_order_of_the_page(self, db: None) -> None:
        variables: dict[str, str] = {}
        api, answered = Api(make_key()), 0
        for call in calls():
            response = call.send(api, variables)
            assert response.status_code in (200, 201, 202, 204), (call, response.content)
            if call.name:
                variables[call.name] = response.json()["id"]
            answered += 1
        assert answered >= 20

    def test_say_what_the_page_says_of_the_first(self, db: None) -> None:
        answer = next(calls()).send(Api(make_key()), {}).json()
        assert f'"{answer["explanation"]}"' in re.sub(r"\n", " ", PAGE)
        assert (answer["misfire"], answer["overlap"]) == (
            {"policy": "run_once", "maxRuns": 10, "graceSeconds": 60},
            "skip",
        )


class TestStatements:
    @pytest.mark.parametrize("statement", code("sql"))
    def test_run(self, statement: str, db: None) -> None:
        make_schedule(name="nightly-report")
        with connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.description


#: Each program, and the schedules it makes.
PROGRAMS = list(
    zip(
        code("python"),
        [["invoices"], ["refresh-rates", "send-reminders"]],
        strict=True,
    )
)


class TestPrograms:
    @pytest.mark.parametrize(("source", "names"), PROGRAMS)
    def test_make_the_schedules_they_show(self, source: str, names: list[str], db: None) -> None:
        exec(compile(source, "docs/schedules.md", "exec"), {})
        made = Schedule.objects.filter(next_slot__gt=datetime.now(UTC)).order_by("name")
        assert list(made.values_list("name", flat=True)) == names


class TestCrontab:
    def test_is_reported_as_shown(self, db: None, tmp_path: Path) -> None:
        (tmp_path / "crontab").write_text(code("crontab")[0])
        out = io.StringIO()
        call_command("importcrontab", str(tmp_path / "crontab"), "--timezone", "Europe/Berlin", stdout=out)
        next_time = re.compile(r"next \d{4}-\d\d-\d\d \d\d:\d\d CES?T")
        told, shown = (next_time.sub("next", text) for text in (out.getvalue(), code("text")[0]))
        assert told == shown
        assert Schedule.objects.count() == 3

    def test_is_read_as_the_page_calls_the_command(
        self, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "crontab").write_text("0 4 * * * root job")
        lines = [line for block in code("sh") for line in block.splitlines() if "importcrontab" in line]
        assert len(lines) == 3
        for line in lines:
            words = shlex.split(line.partition("importcrontab ")[2])
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"0 4 * * * job")))
            arguments = [str(tmp_path / "crontab") if word == "/etc/crontab" else word for word in words]
            call_command("importcrontab", *arguments, *(["--any-user"] if "--user-column" in words else []))
        assert Schedule.objects.filter(enabled=False, timezone="Europe/Berlin").count() == 1
        assert Schedule.objects.filter(description="In the crontab it ran as root.").count() == 1


class TestTables:
    def test_explain_expressions_as_the_code_does(self) -> None:
        now = datetime(2026, 5, 4, tzinfo=UTC)
        for field, example, words in rows("| field | example | in words |"):
            value: Any = example.strip("`")
            name = {"`cron`": "cron", "`intervalSeconds`": "interval_seconds", "`rrule`": "rrule"}[field]
            value = int(value) if name == "interval_seconds" else value
            explanation = check(Definition(**{name: value}, anchor=now), now=now).explain()
            assert explanation == (words if words.endswith("UTC") else f"{words}, UTC")

    def test_name_every_field_with_its_default(self) -> None:
        shown = {}
        for names, default, _ in rows("| field | default | meaning |"):
            for name in names.split(", "):
                shown[name.strip("`")] = default
        words = {None: "", True: "true", (): "[]"}
        for field in fields(NewSchedule):
            if field.name not in ("name", "task"):
                value: Any = field.default
                assert shown.pop(_json_name(field.name)) == words.get(value, str(value)), field.name
        assert set(shown) == {"name", "task"}

    def test_name_every_state(self) -> None:
        told = rows("| state | meaning | task |")
        assert {row[0] for row in told} == set(FireState)
        assert [row[0] for row in told if row[2] == "yes"] == ["FIRED", "LATE"]

    def test_name_every_reason_of_why(self) -> None:
        given = {code for path in SOURCES for code in re.findall(r'Reason\(\s*"([A-Z_]+)"', path.read_text())}
        told = {name.strip("`") for row in rows("| code | what keeps it |") for name in row[0].split(", ")}
        assert told == given


def _json_name(name: str) -> str:
    head, _, rest = name.partition("_")
    if head in ("misfire", "dst"):
        return f"{head}.{_camel(rest)}"
    return _camel(name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
