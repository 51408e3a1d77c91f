"""Values as pages of the admin show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from access_app.staff import display


class TestSpan:
    @pytest.mark.parametrize(
        ("length", "text"),
        [
            (timedelta(milliseconds=35), "35 ms"),
            (timedelta(seconds=1.24), "1.2 s"),
            (timedelta(seconds=42.4), "42 s"),
            (timedelta(seconds=59.9), "60 s"),
            (timedelta(minutes=3), "3 min"),
            (timedelta(minutes=3, seconds=7), "3 min 7 s"),
            (timedelta(hours=5, minutes=59, seconds=59), "5 h 59 min"),
            (timedelta(days=2, hours=1), "2 d 1 h"),
            (timedelta(days=2_900_000), "2,900,000 d"),
            (None, display.EMPTY),
        ],
    )
    def test_names_the_two_units_that_matter(self, length: timedelta | None, text: str) -> None:
        assert display.span(length) == text

    def test_tells_past_and_future(self) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        assert ">in 2 h<" in display.instant(now + timedelta(hours=2, minutes=5), now)
        assert ">5.0 s ago<" in display.instant(now - timedelta(seconds=5), now)


class TestEscaping:
    def test_links_workers_and_escapes_the_rest(self) -> None:
        text = "assigned to worker:0198f000-0000-7000-8000-0000000000ab <b>"
        html = display.with_links(text)
        assert html.startswith("assigned to <a ")
        assert html.endswith("&lt;b&gt;")

    def test_badges_escape(self) -> None:
        assert "<x>" not in display.badge("<x>")
