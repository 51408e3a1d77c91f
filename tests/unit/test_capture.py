"""What is kept of output: caps, markers, characters, memory."""

from __future__ import annotations

import re
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_app.executors.capture import LIMIT, Capture

MARKER = re.compile(r"\n\[\.\.\. (\d+) bytes omitted \.\.\.\]\n")


def captured(*pieces: bytes, limit: int = LIMIT) -> tuple[str, bool]:
    capture = Capture(limit)
    for piece in pieces:
        capture.feed(piece)
    return capture.text()


class TestCapture:
    def test_keeps_everything_up_to_the_limit(self) -> None:
        raw = bytes(33 + index % 90 for index in range(LIMIT))
        assert captured(raw) == (raw.decode(), False)
        assert captured(raw[:40000], raw[40000:]) == (raw.decode(), False)

    def test_keeps_head_and_tail_beyond_the_limit_and_counts_what_it_omits(self) -> None:
        raw = b"".join(b"%07d\n" % number for number in range(100_000))
        text, truncated = captured(*(raw[start : start + 5_000] for start in range(0, len(raw), 5_000)))
        assert truncated
        head, omitted, tail = MARKER.split(text)
        assert raw.startswith(head.encode())
        assert raw.endswith(tail.encode())
        assert len(head) + int(omitted) + len(tail) == len(raw)
        assert LIMIT - 64 <= len(text.encode()) <= LIMIT

    def test_one_byte_too_many_truncates(self) -> None:
        text, truncated = captured(b"x" * (LIMIT + 1))
        assert truncated
        assert len(text.encode()) <= LIMIT

    def test_replaces_bytes_that_are_no_utf_8_and_nul(self) -> None:
        assert captured(b"a\xffb\x00c\xed\xa0\x80") == ("a\ufffdb\ufffdc\ufffd\ufffd\ufffd", False)

    def test_joins_a_character_that_came_in_two_pieces(self) -> None:
        assert captured("ü€😀".encode()[:4], "ü€😀".encode()[4:]) == ("ü€😀", False)

    def test_counts_the_cap_in_bytes_of_the_text_not_of_the_output(self) -> None:
        text, truncated = captured(b"\xff" * 30_000)
        assert truncated
        assert len(text.encode()) <= LIMIT

    def test_cuts_between_characters(self) -> None:
        for shift in range(4):
            text, truncated = captured(b"x" * shift + "😀".encode() * 30_000)
            assert truncated
            assert "\ufffd" not in text

    def test_cuts_behind_a_whole_character_whatever_broken_bytes_follow_it(self) -> None:
        for length in range(40, 80):
            raw = b"x" * length + "é".encode() + b"\x80" * 200
            head, _, _ = MARKER.split(captured(raw, limit=200)[0])
            assert raw.decode("utf-8", "replace").startswith(head)

    def test_needs_no_more_memory_for_more_output(self) -> None:
        capture, piece = Capture(), b"x" * 65536
        tracemalloc.start()
        try:
            for _ in range(3_000):  # 200 MB
                capture.feed(piece)
            assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
        finally:
            tracemalloc.stop()

    @settings(deadline=None)
    @given(
        st.lists(
            st.one_of(st.binary(max_size=80), st.text(alphabet="aé€😀\0", max_size=30).map(str.encode)), max_size=30
        )
    )
    def test_for_any_output_it_caps_keeps_both_ends_and_counts_right(self, pieces: list[bytes]) -> None:
        limit, raw = 200, b"".join(pieces)
        text, truncated = captured(*pieces, limit=limit)
        whole = raw.decode("utf-8", "replace").replace("\0", "\ufffd")
        assert len(text.encode()) <= limit
        assert "\0" not in text
        assert truncated == (len(whole.encode()) > limit)
        if not truncated:
            assert text == whole
            return
        head, omitted, _ = MARKER.split(text)
        assert whole.startswith(head)
        assert 0 < int(omitted) < len(raw)

    @settings(deadline=None)
    @given(st.text(alphabet="aé€😀", min_size=201, max_size=600))
    def test_for_any_valid_text_both_ends_are_whole(self, text: str) -> None:
        shown, truncated = captured(text.encode(), limit=200)
        if truncated:
            head, omitted, tail = MARKER.split(shown)
            assert text.startswith(head)
            assert text.endswith(tail)
            assert len(head.encode()) + int(omitted) + len(tail.encode()) == len(text.encode())
