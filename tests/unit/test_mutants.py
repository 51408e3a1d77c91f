"""That the table of mutants has not rotted. Running them is `make mutants`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants.mutant import ROOT, DoesNotApply, Mutant
from tests.mutants.run import _result
from tests.mutants.table import MUTANTS


class TestMutants:
    def test_still_apply(self) -> None:
        for mutant in MUTANTS:
            assert mutant.mutated() != (ROOT / mutant.path).read_text(), mutant.name

    def test_name_tests_that_exist(self) -> None:
        assert all(mutant.tests for mutant in MUTANTS)
        for test in {test for mutant in MUTANTS for test in mutant.tests}:
            path, *names = test.split("::")
            text = (ROOT / path).read_text()
            assert all(f"class {name}" in text or f"def {name}(" in text for name in names), test

    def test_have_names_of_their_own(self) -> None:
        assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []

    def test_break_promises_of_the_list(self) -> None:
        assert {mutant.promise for mutant in MUTANTS} <= set(range(1, 70))


class TestMutated:
    def mutant(self, old: str) -> Mutant:
        return Mutant(name="x", path="tests/mutants/table.py", old=old, new="", promise=1, tests=("t",))

    @pytest.mark.parametrize("old", ["no such text anywhere", "import"])
    def test_refuses_a_text_that_is_not_there_exactly_once(self, old: str) -> None:
        with pytest.raises(DoesNotApply, match="not once"):
            self.mutant(old).mutated()


class TestResult:
    @pytest.mark.parametrize(
        ("status", "output", "verdict"),
        [
            (0, "5 passed", "survived"),
            (1, "FAILED tests/x.py::test_y - AssertionError: assert 1 == 2", "killed"),
            (1, "FAILED tests/x.py::test_y - psycopg.errors.SyntaxError: at or near", "broken"),
            (1, "no summary", "broken"),
            (4, "ERROR: file or directory not found: x", "broken"),
            (None, "", "broken"),
        ],
    )
    def test_takes_nothing_but_a_red_test_for_a_kill(self, status: int | None, output: str, verdict: str) -> None:
        assert _result("x", status, output, 1.0).verdict == verdict
