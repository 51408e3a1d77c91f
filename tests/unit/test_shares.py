"""Shares by weight of what was used together."""

from __future__ import annotations

import pytest

from flow_app.shares import MOST_SHOWN, shares


class TestShares:
    def test_divide_what_was_used_by_weight(self) -> None:
        found = shares([("a", 1, 1800.0), ("b", 2, 1800.0), ("c", 1, 0.0)], 3600)
        assert [(each.used, each.entitled, each.lent) for each in found.rows] == [
            (0.5, 0.25, -0.25),
            (0.5, 0.5, 0.0),
            (0.0, 0.25, 0.25),
        ]
        assert sum(each.lent for each in found.rows) == pytest.approx(0)

    def test_show_so_many_tenants_and_count_the_others(self) -> None:
        found = shares([(f"t{n}", 1, 60.0) for n in range(MOST_SHOWN + 7)], 60)
        assert (len(found.rows), found.others) == (MOST_SHOWN, 7)
        assert found.rows[0].entitled == pytest.approx(1)

    @pytest.mark.parametrize("span", [0, 60])
    def test_of_nobody_are_nothing(self, span: float) -> None:
        assert shares([], span).rows == []
        assert all(each.used == 0 for each in shares([("a", 1, 0.0)], span).rows)
