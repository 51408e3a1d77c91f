"""The protocol holds in all small worlds, to the last state; and every guard that is taken away is missed."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.model.broken import VARIANTS, FinishWithoutStart, Variant
from tests.model.checker import check
from tests.model.protocol import Protocol
from tests.model.worlds import LARGE, QUICK, SMALL

DOCUMENT = (Path(__file__).parents[2] / "docs" / "model.md").read_text()


def row(first: str) -> list[str]:
    """The cells after the first of the document's table row that begins with this."""
    [line] = re.findall(rf"^\| {re.escape(first)} \|(.*)\|$", DOCUMENT, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


class TestProtocol:
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.chaos_long]) for name in SMALL]
    )
    def test_holds_in_every_state_of_a_small_world(self, name: str) -> None:
        report = check(Protocol(SMALL[name]))
        assert report.violation is None, f"{name}: {report}"
        assert f"{report.states:,}" in row(name), f"docs/model.md: {name} has {report.states:,} states"

    def test_takes_every_step_somewhere(self) -> None:
        """Steps that are never taken show nothing."""
        failover = next(variant.world for variant in VARIANTS if variant.protocol is FinishWithoutStart)
        taken = check(Protocol(SMALL["a worker and its troubles"])).taken | check(Protocol(failover)).taken
        named = re.findall(r'(?:Step\(\s*|_step\(\s*\w+,\s*|else )"(\w+)"', inspect.getsource(Protocol))
        assert set(named) - taken == set()

    def test_is_described_with_all_its_worlds(self) -> None:
        for name in [*SMALL, *LARGE]:
            assert row(name)


class TestVariant:
    @pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.protocol.__name__)
    def test_is_caught(self, variant: Variant) -> None:
        violation = check(variant.protocol(variant.world), most_states=20_000).violation
        assert violation is not None
        assert violation.broken == variant.caught_by, violation
        assert row(f"`{variant.protocol.__name__}`")[-1] == str(len(violation))
        assert "\n   1  register(A1)" in str(violation)

    def test_breaks_a_protocol_that_holds_in_its_world(self) -> None:
        """Or its counterexample would say nothing about the guard. What is a small world as well is looked at above."""
        for world in {variant.world for variant in VARIANTS} - set(SMALL.values()):
            assert check(Protocol(world)).violation is None

    def test_exists_for_every_guard(self) -> None:
        overridden = {name for variant in VARIANTS for name in vars(variant.protocol) if not name.startswith("_")}
        guards = inspect.getsource(Protocol).split("# The guards.")[1].split("# What may happen")[0]
        assert set(re.findall(r"def (\w+)", guards)) <= overridden
