"""That the proofs which `docs/reliability.md` names exist, for every promise."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mutants.table import MUTANTS
from tests.support.environment_names import ROOT

TEXT = (ROOT / "docs" / "reliability.md").read_text()
TESTS = Path(ROOT) / "tests"
PROOFS = sorted(set(re.findall(r"`((?:unit|property|integration|chaos)/[\w/]+\.py(?:::\w+)*)`", TEXT)))


def numbers() -> set[int]:
    section = TEXT.partition("## Invariants")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    return {int(number) for cell in cells for number in cell.split(",")}


class TestProofs:
    def test_are_many(self) -> None:
        assert len(PROOFS) > 60

    def test_exist(self) -> None:
        for proof in PROOFS:
            path, *names = proof.split("::")
            text = (TESTS / path).read_text()
            assert all(re.search(rf"^\s*(class|def) {name}\b", text, re.MULTILINE) for name in names), proof


class TestInvariants:
    def test_are_all_listed(self) -> None:
        assert numbers() == set(range(1, 70))

    def test_are_what_mutants_break(self) -> None:
        assert {mutant.promise for mutant in MUTANTS} <= numbers()
