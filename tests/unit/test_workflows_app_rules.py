"""Whether a task runs that depends on others: the whole table, and that no later end changes a verdict."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app.states import RunIf
from workflows_app.rules import Ends, Verdict, decide

RUNS, NEVER, WAITS = Verdict.RUNS, Verdict.NEVER, Verdict.WAITS
OUTCOMES = ["SUCCESS", "FAILED", "CANCELLED"]


def ends_of(outcomes: list[str | None]) -> Ends:
    return Ends(*(each in outcomes for each in (None, *OUTCOMES)))


def expected(run_if: str, outcomes: list[str | None]) -> Verdict:
    """The rules in the words of the documents, over all that is known at the end."""
    success, failed = outcomes.count("SUCCESS"), outcomes.count("FAILED")
    return {
        "all_success": RUNS if success == len(outcomes) else NEVER,
        "all_done": RUNS,
        "any_success": RUNS if success else NEVER,
        "any_failed": RUNS if failed else NEVER,
        "none_failed": NEVER if failed else RUNS,
    }[run_if]


class TestDecide:
    @pytest.mark.parametrize("run_if", RunIf)
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_says_at_the_end_what_the_documents_say(self, run_if: RunIf, number: int) -> None:
        for outcomes in product(OUTCOMES, repeat=number):
            assert decide(run_if, ends_of(list(outcomes))) is expected(run_if, list(outcomes)), outcomes

    @pytest.mark.parametrize(
        ("run_if", "outcomes", "verdict"),
        [
            ("all_success", ["SUCCESS", None], WAITS),
            ("all_success", ["FAILED", None], NEVER),
            ("all_success", ["CANCELLED", None], NEVER),
            ("all_done", ["FAILED", None], WAITS),
            ("any_success", ["SUCCESS", None], RUNS),
            ("any_success", ["FAILED", None], WAITS),
            ("any_failed", ["FAILED", None], RUNS),
            ("any_failed", ["CANCELLED", None], WAITS),
            ("none_failed", ["CANCELLED", None], WAITS),
            ("none_failed", ["FAILED", None], NEVER),
        ],
    )
    def test_is_certain_as_soon_as_it_can_be(self, run_if: str, outcomes: list[str | None], verdict: Verdict) -> None:
        assert decide(run_if, ends_of(outcomes)) is verdict

    @given(st.sampled_from(list(RunIf)), st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6), st.randoms())
    def test_is_kept_whatever_order_they_end_in(self, run_if: RunIf, outcomes: list[str], chance: object) -> None:
        chance.shuffle(outcomes)  # type: ignore[attr-defined]
        seen = [
            decide(run_if, ends_of([*outcomes[:done], *[None] * (len(outcomes) - done)]))
            for done in range(len(outcomes) + 1)
        ]
        certain = [verdict for verdict in seen if verdict is not WAITS]
        assert set(certain) == {expected(run_if, list(outcomes))}
        assert seen == [WAITS] * (len(seen) - len(certain)) + certain
