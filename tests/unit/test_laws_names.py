"""The law of one name: a statement's file, the function that runs it and the tests of it are found by one grep.

``X.sql`` is run by ``X()`` (or ``_X()``), and by nothing else, and tested in ``TestX``.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from typing import Final

import pytest

from tests.support.product import ROOT, modules, placed, statement_files, statements

#: Statements that are run elsewhere than in one function of their name, where, and why.
ELSEWHERE: Final = {
    "survey_due": (
        {"survey._look_at_everything", "survey.read_heads"},
        "a scheduler asks until there are no more heads, and only when it must; pages ask once, for the first ones",
    ),
    "survey_labelled": (
        {"survey._survey_labelled", "survey.read_labelled"},
        "a scheduler asks only when something waits that needs something of its worker; pages do not know",
    ),
    "hand_back_assigned": (
        {"assignment.hand_back_assigned", "counting_in.hand_back_assigned"},
        "a pause gives back in the transaction of its request, workers and schedulers in one of their own",
    ),
    "freeze_queues": (
        {"freezes.freeze_queues", "thawing.end_due_freezes"},
        "a request that freezes or thaws writes it in its transaction, a scheduler where it notes the end of one",
    ),
    "release_idle_keys": (
        {"opening.release_idle_keys", "queue_keys._release_keys"},
        "a higher limit lets the next ones be seen in the transaction of its request, housekeepers in one of their own",
    ),
}
#: Classes of tests with another name, and why.
TESTED_AS: Final = {
    "look_round": "TestHousekeeper",  # whose step is a round
    "survey_known": "TestKnownPairs",  # what is asked of it depends on what is known
}
#: Functions that run whatever statement they are given: theirs is the only call without a name in it.
RUNNERS: Final = {"tasks_app.sessions.Session.send", "monitoring_app.selectors.rows"}


@cache
def runs() -> dict[str, set[str]]:
    """Statement → functions that give its name to what runs statements."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in modules():
        for where, node in placed(module):
            if isinstance(node, ast.Call) and _runs(node):
                for name in (part.value for part in node.args if isinstance(part, ast.Constant)):
                    if re.fullmatch("[a-z_]+", str(name)):
                        found[str(name)].add(where)
    return dict(found)


def unnamed() -> set[str]:
    """Functions that run a statement whose name the line does not say."""
    return {
        where
        for module in modules()
        for where, node in placed(module)
        if isinstance(node, ast.Call) and _called(node) == "statement" and not isinstance(node.args[0], ast.Constant)
    }


def _runs(call: ast.Call) -> bool:
    return _called(call) in {"statement", "rows", "send", "_ask"}


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _camel(name: str) -> str:
    return "Test" + "".join(word.capitalize() for word in name.split("_"))


@cache
def classes_of_tests() -> frozenset[str]:
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"^class (Test\w+)", text, re.MULTILINE))


class TestStatements:
    def test_have_names_of_their_own_over_all_apps(self) -> None:
        """They are found by their names alone (`access_app.sql.statement`)."""
        assert [name for name, count in Counter(path.stem for path in statement_files()).items() if count > 1] == []

    @pytest.mark.parametrize("name", statements())
    def test_are_run_in_one_function_of_their_name(self, name: str) -> None:
        found = runs().get(name, set())
        if name in ELSEWHERE:
            places, reason = ELSEWHERE[name]
            assert {".".join(where.split(".")[-2:]) for where in found} == places, reason
        else:
            assert [where.rpartition(".")[2].lstrip("_") for where in found] == [name], found or "nobody runs it"

    @pytest.mark.parametrize("name", statements())
    def test_have_tests_under_their_name(self, name: str) -> None:
        assert TESTED_AS.get(name, _camel(name)) in classes_of_tests()

    @pytest.mark.parametrize("path", statement_files(), ids=lambda path: path.stem)
    def test_say_what_they_are_for(self, path: object) -> None:
        text = statements()[getattr(path, "stem", "")].read_text()
        assert len(text.partition("\n")[0].removeprefix("--").split()) >= 5, "begin with a sentence"

    def test_are_run_by_nobody_who_does_not_say_which(self) -> None:
        assert unnamed() == RUNNERS

    def test_exist_when_they_are_named(self) -> None:
        assert runs().keys() <= statements().keys()

    def test_are_excepted_only_while_they_exist(self) -> None:
        assert ELSEWHERE.keys() | TESTED_AS.keys() <= statements().keys()
