"""Cells of a CSV: nothing that a spreadsheet calculates, and what was there can be read back."""

from __future__ import annotations

from typing import Any

import pytest

from access_app.exports import cell


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("", ""),
        (-5, -5),
        (1.5, 1.5),
        (True, "true"),
        (None, ""),
        ({"a": "=1"}, '{"a":"=1"}'),
        (["ü"], '["ü"]'),
    ],
)
def test_cells_are_no_formulas(value: Any, shown: Any) -> None:
    assert cell(value) == shown
