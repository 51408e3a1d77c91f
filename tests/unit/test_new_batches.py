"""What a batch that is asked for must be."""

from __future__ import annotations

from typing import Any

import pytest

from tasks_app.fields import NewTask
from workflows_app.batch_rules import FollowUp
from workflows_app.new_batches import InvalidBatch, NewBatch, check_batch, read_fail_fast


class TestCheckBatch:
    @pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", "a\u202eb"])
    def test_refuses_a_name_that_is_none(self, name: str) -> None:
        with pytest.raises(InvalidBatch) as refused:
            check_batch(NewBatch(name=name))
        assert list(refused.value.problems) == ["name"]

    def test_refuses_what_a_task_that_is_made_later_cannot_ask_for(self) -> None:
        later = NewTask(type="DUMMY", unique_key="k", ref="r", run_if="all_done")
        with pytest.raises(InvalidBatch) as refused:
            check_batch(NewBatch(name="n", follow_ups={FollowUp.FAILURE: later}))
        assert refused.value.problems.keys() == {"onFailure.uniqueKey", "onFailure.ref", "onFailure.runIf"}

    def test_takes_the_rest(self) -> None:
        check_batch(NewBatch(name="n" * 200, follow_ups={FollowUp.COMPLETE: NewTask(type="DUMMY", priority=5)}))


class TestReadFailFast:
    @pytest.mark.parametrize(("value", "shown"), [(1, 1), (1_000_000, 1_000_000), ("1%", "1%"), ("100%", "100%")])
    def test_is_a_number_or_a_part(self, value: Any, shown: Any) -> None:
        assert read_fail_fast(value).json == shown

    @pytest.mark.parametrize(
        "value", [0, -1, 1_000_001, True, 1.0, "0%", "101%", "5", "05%", "5 %", "\u0665%", None, [1]]
    )
    def test_is_nothing_else(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must be a whole number from 1"):
            read_fail_fast(value)
