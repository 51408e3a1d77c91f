"""Characters that a text of people may not hold, and how they are written where it is shown anyway."""

from __future__ import annotations

import unicodedata

import pytest

from access_app.texts import MAX_REASON, escaped, problem_of_line, problem_of_lines, problem_of_reason

GOOD = "Rechnung 7: « prêt » \u00a0— \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f4bb 日本"


class TestProblems:
    @pytest.mark.parametrize("check", [lambda text: problem_of_line(text, 99), lambda text: problem_of_lines(text, 99)])
    def test_are_found_for_every_character_that_steers_a_reader(self, check: object) -> None:
        """By Unicode's own properties: controls, line and paragraph ends, everything that is about direction."""
        assert callable(check)
        steering = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        marks = "\u200e\u200f\u061c\ufeff"
        for code in range(0x110000):
            char = chr(code)
            bad = (
                unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
                or unicodedata.bidirectional(char) in steering
                or char in marks
                or 0xE0000 <= code <= 0xE007F
            )
            if bad and char != "\n":
                assert check(f"a{char}b"), hex(code)

    def test_are_none_in_what_people_write(self) -> None:
        assert problem_of_line(GOOD, 99) is None
        assert problem_of_lines(f"{GOOD}\n{GOOD}", 199) is None
        assert problem_of_line("a\nb", 99) is not None

    def test_name_the_length(self) -> None:
        assert problem_of_reason("x" * MAX_REASON) is None
        assert problem_of_reason("x" * (MAX_REASON + 1)) == "must not be longer than 500 characters"


class TestEscaped:
    def test_shows_what_steers_and_leaves_the_rest(self) -> None:
        assert escaped("\x1b[2J\r\n\u202e\u2028ü") == "\\x1b[2J\\r\\n\\u202e\\u2028ü"
        assert escaped(GOOD) == GOOD
