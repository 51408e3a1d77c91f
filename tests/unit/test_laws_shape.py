"""The laws of shape: short files, short functions, a docstring for each module, each table in the documents."""

from __future__ import annotations

import ast
import re
from statistics import median, quantiles
from typing import Final

from django.apps import apps

from tests.support.product import APPS, ROOT, Module, functions, modules

LONGEST_FILE: Final = 300
LONGEST_READING_ORDER: Final = 1500
MEDIAN_FILE: Final = 110
MEDIAN_FUNCTION: Final = 5
#: Nine of ten are not longer.
MOST_FUNCTIONS: Final = 15
#: Packages that Django looks for by their names, which say all.
NAMED_BY_DJANGO: Final = ("migrations", "management", "management.commands")

#: What people may read with SELECT: in the contract with users, so never renamed.
PUBLIC_TABLES: Final = frozenset(
    {"tasks", "task_executions", "worker_heartbeats", "scheduler_heartbeats", "queues", "audit_events"}
)


def written() -> list[Module]:
    """What people write and read: all but migrations."""
    return [module for module in modules() if ".migrations" not in module.name]


def lines(node: ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


class TestFiles:
    def test_have_300_lines_at_most(self) -> None:
        long = {module.name: count for module in written() if (count := len(module.text.splitlines())) > LONGEST_FILE}
        assert long == {}, "split it by what it says in its docstring"

    def test_are_short_at_the_median(self) -> None:
        counts = [len(module.text.splitlines()) for module in written() if module.path.name != "__init__.py"]
        assert median(counts) <= MEDIAN_FILE

    def test_have_names_that_say_something(self) -> None:
        drawers = {"utils", "helpers", "common", "misc", "tools"}
        assert [module.name for module in modules() if module.path.stem in drawers] == []


class TestReadingOrder:
    def test_is_short_enough_for_a_first_afternoon(self) -> None:
        """What `docs/architecture.md` tells a newcomer to read first."""
        section = (ROOT / "docs" / "architecture.md").read_text().partition("## Reading order")[2].partition("\n## ")[0]
        files = re.findall(r"`(\w+_app/[\w/]+\.py)`", section)
        assert len(files) == 9
        assert sum(len((ROOT / file).read_text().splitlines()) for file in files) <= LONGEST_READING_ORDER


class TestFunctions:
    def test_are_as_short_as_they_were(self) -> None:
        """Over all of them, with signature and docstring; a long one is allowed where it is a list of things."""
        lengths = [lines(node) for module in written() for _, node in functions(module)]
        middle, most = median(lengths), quantiles(lengths, n=10)[-1]
        figures = f"{len(lengths)} functions: median {middle:g} lines, nine of ten up to {most:g}"
        assert middle <= MEDIAN_FUNCTION, figures
        assert most <= MOST_FUNCTIONS, figures


class TestDocstrings:
    def test_say_what_lives_in_the_module(self) -> None:
        ours = [module for module in written() if not module.name.endswith(NAMED_BY_DJANGO)]
        silent = [module.name for module in ours if len((ast.get_docstring(module.tree) or "").split()) < 3]
        assert silent == []


class TestTables:
    def test_are_those_of_the_documentation(self) -> None:
        text = (ROOT / "docs/architecture.md").read_text()
        section = text[text.index("## Tables and indexes") :].split("\n\n")[1]
        documented = {name for row in section.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
        assert tables() == documented

    def test_have_the_names_that_people_read_them_by(self) -> None:
        assert tables() >= PUBLIC_TABLES


def tables() -> set[str]:
    return {model._meta.db_table for app in APPS for model in apps.get_app_config(app).get_models()}
