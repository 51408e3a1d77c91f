"""docs/security.md says who may do what as the code has it."""

from __future__ import annotations

from tests.support.access_table import PAGE, rendered


class TestAccessTable:
    def test_is_the_one_of_the_code(self) -> None:
        assert PAGE.read_text() == rendered(PAGE.read_text()), "write it: python -m tests.support.access_table"
