"""Limits, rates and gates hold in all small worlds, to the last state; and every guard that is taken away is missed."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.model.checker import check
from tests.model.flow import Flow
from tests.model.flow_worlds import QUICK, VARIANTS, WORLDS, Variant
from tests.model.test_model import row


class TestFlow:
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.chaos_long]) for name in WORLDS]
    )
    def test_holds_in_every_state_of_a_small_world(self, name: str) -> None:
        report = check(Flow(WORLDS[name]))
        assert report.violation is None, f"{name}: {report}"
        assert f"{report.states:,}" in row(name), f"docs/model.md: {name} has {report.states:,} states"


class TestVariant:
    @pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.flow.__name__)
    def test_is_caught(self, variant: Variant) -> None:
        assert check(Flow(variant.world)).violation is None
        violation = check(variant.flow(variant.world), most_states=20_000).violation
        assert violation is not None
        assert violation.broken == variant.caught_by, violation
        assert row(f"`{variant.flow.__name__}`")[-1] == str(len(violation))

    def test_exists_for_every_guard(self) -> None:
        overridden = {name for variant in VARIANTS for name in vars(variant.flow) if not name.startswith("_")}
        guards = inspect.getsource(Flow).split("# The guards.")[1].split("# What may happen")[0]
        assert set(re.findall(r"def (\w+)", guards)) <= overridden
