"""What the documentation says is what the code does: settings, commands, links, and every example request.

Runs nothing and asks no database: examples are read by the same functions that read requests.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from scheduler_project import database
from tasks_app import conf
from tasks_app.api import inputs, operation_filters
from tests.support.environment_names import KNOBS, ROOT, known_variables

README = (ROOT / "README.md").read_text()
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md"))
}


def table(text: str, *, after: str) -> dict[str, tuple[str, str]]:
    """The first table behind a line: name in backquotes → (default, meaning)."""
    rows: dict[str, tuple[str, str]] = {}
    begun = False
    for line in text[text.index(after) :].splitlines()[1:]:
        if not line.startswith("|"):
            if begun:
                break
            continue
        begun = True
        name, default, meaning = (cell.strip() for cell in line.strip("|").split("|"))
        if name.startswith("`"):
            assert name.strip("`") not in rows
            rows[name.strip("`")] = (default, meaning)
    return rows


SETTINGS = table(README, after="## Settings")
OTHERS = table(README, after="Database, web and Django:")
EXAMPLE = dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


class TestSettings:
    @pytest.mark.parametrize("knob", fields(conf.Config), ids=lambda knob: knob.metadata["env"])
    def test_each_has_its_row_with_its_default(self, knob: Any) -> None:
        default = knob.metadata["default"]
        if "prod" in knob.metadata["by_profile"]:
            default += f" (prod: {knob.metadata['by_profile']['prod'] or 'none'})"
        shown, meaning = SETTINGS[knob.metadata["env"]]
        assert shown == default
        assert meaning

    def test_the_tables_name_what_is_read_and_nothing_else(self) -> None:
        assert set(SETTINGS) == KNOBS
        assert set(OTHERS) == known_variables() - KNOBS

    def test_the_parts_of_a_database_address_have_their_defaults(self, tmp_path: Path) -> None:
        django = database.django_database({"DB_HOST": "db"}, tmp_path)
        for name, key in (
            ("DB_PORT", "PORT"),
            ("DB_NAME", "NAME"),
            ("DB_USERNAME", "USER"),
            ("DB_PASSWORD", "PASSWORD"),
        ):
            assert OTHERS[name][0] == EXAMPLE[name] == django[key]

    def test_the_embedded_server_is_where_the_table_says(self, tmp_path: Path) -> None:
        choice = database.choose({}, tmp_path).embedded
        assert choice is not None
        assert choice.location.wanted == (tmp_path / OTHERS["EMBEDDED_DATA_DIR"][0]).resolve()

    def test_the_defaults_of_the_original_system_are_valid_values(self) -> None:
        [row] = re.findall(r"^\| default polling, heartbeat, time-out \| (.*?) \|", README, re.MULTILINE)
        names = ("SCHEDULER_POLLING_INTERVAL_MS", "WORKER_HEARTBEAT_INTERVAL_MS", "WORKER_HEARTBEAT_TIMEOUT_MS")
        values = [f"{seconds}000" for seconds in re.findall(r"(\d+) s", row)]
        assert conf.load(dict(zip(names, values, strict=True))).heartbeat_timeout == timedelta(seconds=60)


class TestEnvExample:
    def test_names_what_the_tables_name(self) -> None:
        assert set(EXAMPLE) == set(SETTINGS) | set(OTHERS)

    @pytest.mark.parametrize("knob", fields(conf.Config), ids=lambda knob: knob.metadata["env"])
    def test_each_setting_has_its_default(self, knob: Any) -> None:
        assert EXAMPLE[knob.metadata["env"]] == knob.metadata["default"]

    def test_is_all_comment(self) -> None:
        lines = (ROOT / ".env.example").read_text().splitlines()
        assert [line for line in lines if line and not line.startswith("#")] == []

    def test_changes_nothing_when_all_of_it_is_set(self) -> None:
        assert conf.load(EXAMPLE) == conf.load({})


def code(language: str) -> Iterator[str]:
    """The code blocks of every document in one language."""
    for text in DOCUMENTS.values():
        yield from re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def requests() -> Iterator[tuple[str, str, str | None]]:
    """Method, path and body of every example call of the API."""
    whole = "\n".join(code("sh"))
    for call in re.split(r"\bapi (?=.*\$BASE/)", whole)[1:]:
        call = call.partition("\n\n")[0]
        path = re.search(r"\$BASE(/[^\s\"?]*)", call)
        body = re.search(r"-d '([^']*)'", call.partition("\napi")[0])
        method = re.search(r"-X (\w+)", call.partition("$BASE")[0])
        assert path is not None
        given = body[1] if body else None
        yield method[1] if method else "POST" if given else "GET", path[1], given


REQUESTS = list(requests())
IDS = [f"{method} {path} {number}" for number, (method, path, _) in enumerate(REQUESTS)]


class TestExamples:
    def test_are_found(self) -> None:
        assert len(REQUESTS) >= 25

    @pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=IDS)
    def test_requests_have_a_route_for_their_method(self, method: str, path: str, body: str | None) -> None:
        found = path.replace("$ID", "01a20c2f-a470-72b8-953e-a340e35e5314").replace("$WORKER", "w")
        try:
            view = resolve(found).func
        except Resolver404:
            pytest.fail(f"{path} leads nowhere")
        assert method.lower() in view.actions  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=IDS)
    def test_bodies_are_accepted(self, method: str, path: str, body: str | None) -> None:
        if body is None:
            return
        data = json.loads(body)
        if path == "/tasks":
            assert inputs.read_task(data).new.type == data["type"]
        elif method == "PATCH" and path.startswith("/tasks/"):
            assert inputs.read_changes(data, "DUMMY")

    def test_filters_of_tasks_are_those_that_there_are(self) -> None:
        [listed] = re.findall(r"^\*\*List\.\*\* Filters are (.*?);", README, re.MULTILINE | re.DOTALL)
        assert set(re.findall(r"`([a-z]\w+)`", listed)) == set(operation_filters.NAMES)

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_curl_sends_what_it_means(self, name: str) -> None:
        """JSON says that it is JSON; a shell puts nothing in the place of a name between single quotes."""
        for call in re.findall(r"^ *curl .*?(?=\n\n|\n```|\n *curl |\Z)", DOCUMENTS[name], re.MULTILINE | re.DOTALL):
            assert " -d '" not in call or "Content-Type: application/json" in call
            assert not re.search(r'[:\[] "\$[A-Z]+"', call)

    @pytest.mark.parametrize("source", list(code("python")))
    def test_python_compiles(self, source: str) -> None:
        ast.parse(source)


class TestDocuments:
    def test_troubleshooting_knows_every_reason_of_why(self) -> None:
        texts = [path.read_text() for path in ROOT.glob("*_app/why*.py")]
        given = {code for text in texts for code in re.findall(r'Reason\(\s*"([A-Z_]+)"', text)}
        section = DOCUMENTS["docs/operations.md"].partition("| `why` says |")[2].partition("| symptom |")[0]
        assert set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)) == given

    def test_the_readme_can_be_read_in_one_go(self) -> None:
        assert len(README.splitlines()) <= 400

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_links_to_files_lead_somewhere(self, name: str) -> None:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", DOCUMENTS[name]):
            if "://" not in target:
                assert ((ROOT / name).parent / target).exists(), target

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_links_to_headings_lead_somewhere(self, name: str) -> None:
        for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", DOCUMENTS[name]):
            text = ((ROOT / name).parent / file).read_text() if file else DOCUMENTS[name]
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_management_commands_exist(self, name: str) -> None:
        named = set(re.findall(r"manage\.py ([a-z_]+)", DOCUMENTS[name]))
        assert named <= set(get_commands())

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_make_targets_exist(self, name: str) -> None:
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(re.findall(r"(?:^|`)make ([a-z]+)", DOCUMENTS[name], re.MULTILINE)) <= targets


LAYOUT = dict(re.findall(r"\*\*`(\w+)/`\*\*(.*?)(?=\n\*\*|\n## )", DOCUMENTS["CONTRIBUTING.md"], re.DOTALL))
APPS = [app for app in LAYOUT if app != "tests"]
#: What Django looks for by these names, and what is not Python.
UNSAID = {"__init__.py", "__pycache__", "apps.py", "migrations", "static", "templates"}


def named_in_layout(app: str) -> set[str]:
    """Paths inside an app that the first column of its table names; a bare name stands in the folder before it."""
    found = set()
    for cell in re.findall(r"^\| (`[^|]*) \|", LAYOUT[app], re.MULTILINE):
        folder = ""
        for name in re.findall(r"`([^`]+)`", cell):
            folder = name.rpartition("/")[0] if "/" in name.rstrip("/") else folder
            inside = f"{folder}/{name}" if folder and (ROOT / app / folder / name).exists() else name
            found.add(inside.rstrip("/"))
    return found


class TestLayout:
    """The map of CONTRIBUTING.md. A module that moves takes its row with it."""

    def test_has_every_app(self) -> None:
        assert set(APPS) == set(config_of_linter()["root_packages"])

    @pytest.mark.parametrize("app", APPS)
    def test_names_files_that_exist(self, app: str) -> None:
        assert [name for name in named_in_layout(app) if not (ROOT / app / name).exists()] == []

    @pytest.mark.parametrize("app", APPS)
    def test_names_whatever_stands_in_an_app(self, app: str) -> None:
        there = {path.name for path in (ROOT / app).iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))}
        there -= UNSAID
        assert there - {name.partition("/")[0] for name in named_in_layout(app)} == set()


class TestVocabulary:
    def test_has_no_word_that_the_code_does_not_know(self) -> None:
        files = [path for app in APPS for suffix in ("py", "sql") for path in (ROOT / app).rglob(f"*.{suffix}")]
        code = set(re.findall(r"[a-z]+(?:_[a-z]+)*", " ".join(path.read_text() for path in files).lower()))
        code |= {part for word in code for part in word.split("_")}
        words = re.findall(r"\*\*([a-z ]+)\*\*", DOCUMENTS["docs/vocabulary.md"])
        assert len(words) > 50
        assert [word for word in words if not {word.replace(" ", "_"), f"{word}s"} & code] == []


def config_of_linter() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return found
