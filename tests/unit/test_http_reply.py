"""That replies become storable text in bounded memory, and how Retry-After is read."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict, HTTPResponse

from tasks_app.executors.http_reply import (
    MAX_BODY,
    MAX_HEADERS,
    MAX_WIRE,
    BadEncoding,
    Reply,
    parse_retry_after,
    to_text,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


class Source(io.BytesIO):
    """Counts what is taken from it."""

    taken = 0

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        self.taken += len(data)
        return data


class Trickle(Source):
    """Hands out one byte at a time, as a slow network would."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(1)


def reply(body: bytes | io.BytesIO, *headers: tuple[str, str]) -> Reply:
    source = io.BytesIO(body) if isinstance(body, bytes) else body
    raw = HTTPResponse(body=source, headers=HTTPHeaderDict(headers), status=200, preload_content=False)
    answer = Reply.begin(raw, started=time.monotonic())
    answer.read(raw)
    return answer


class TestToText:
    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"plain", "plain"),
            ("grüß €😀".encode(), "grüß €😀"),
            (b"a\x00b", "a\ufffdb"),
            (b"a\xffb", "a\ufffdb"),
            (b"\xc3", "\ufffd"),
            (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),  # a surrogate is not UTF-8
        ],
    )
    def test_replaces_what_cannot_be_stored(self, data: bytes, text: str) -> None:
        assert to_text(data, 100) == (text, False)

    @pytest.mark.parametrize(
        ("data", "limit", "text", "cut"),
        [
            (b"abcd", 4, "abcd", False),
            (b"abcde", 4, "abcd", True),
            ("aüü".encode(), 4, "aü", True),
            ("a😀".encode(), 4, "a", True),
            (b"\xff\xff", 4, "\ufffd", True),  # one invalid byte is three bytes of text
        ],
    )
    def test_cuts_between_characters(self, data: bytes, limit: int, text: str, cut: bool) -> None:
        assert to_text(data, limit) == (text, cut)

    @given(st.binary(max_size=64), st.integers(0, 64))
    def test_never_exceeds_the_limit_nor_holds_what_jsonb_refuses(self, data: bytes, limit: int) -> None:
        text, cut = to_text(data, limit)
        assert len(text.encode()) <= limit
        assert "\x00" not in text
        assert cut or len(text.encode()) >= len(data)


class TestBody:
    @pytest.mark.parametrize(
        ("body", "kept", "truncated"),
        [
            (b"", 0, False),
            (b"x" * MAX_BODY, MAX_BODY, False),
            (b"x" * (MAX_BODY + 1), MAX_BODY, True),
            (b"x" * (MAX_BODY - 1) + "😀".encode(), MAX_BODY - 1, True),
            (("😀" * (MAX_BODY // 4)).encode(), MAX_BODY, False),
            (b"\xff" * (MAX_BODY // 3), MAX_BODY // 3 * 3, False),
            (b"\x00" * MAX_BODY, MAX_BODY // 3 * 3, True),
        ],
    )
    def test_is_kept_up_to_the_limit_in_bytes_of_text(self, body: bytes, kept: int, truncated: bool) -> None:
        result = reply(body).result()
        assert (len(result["body"].encode()), result["bodyTruncated"]) == (kept, truncated)

    def test_that_did_not_end_counts_as_truncated(self) -> None:
        raw = HTTPResponse(body=io.BytesIO(b"x"), status=200, preload_content=False)
        assert Reply.begin(raw, started=0).result()["bodyTruncated"] is True

    def test_reading_stops_when_there_is_enough(self) -> None:
        source = Source(b"x" * 1_000_000)
        reply(source)
        assert source.taken < MAX_BODY + 20_000


class TestContentEncoding:
    TEXT = "grüß dich ".encode() * 50

    @pytest.mark.parametrize(
        ("coding", "data"),
        [
            ("gzip", gzip.compress(TEXT)),
            ("x-gzip", gzip.compress(TEXT)),
            (" GZIP ", gzip.compress(TEXT)),
            ("deflate", zlib.compress(TEXT)),
            ("deflate", zlib.compress(TEXT)[2:-4]),  # raw, as some servers have it
            ("identity", TEXT),
            ("zstd", TEXT),  # not asked for: left as it came
            ("gzip, gzip", TEXT),
        ],
        ids=["gzip", "x-gzip", "upper case", "deflate", "raw deflate", "identity", "zstd", "two"],
    )
    @pytest.mark.parametrize("source", [Source, Trickle])
    def test_is_undone(self, coding: str, data: bytes, source: type[Source]) -> None:
        result = reply(source(data), ("Content-Encoding", coding)).result()
        assert (result["body"], result["bodyTruncated"]) == (self.TEXT.decode(), False)

    @pytest.mark.parametrize(
        "data", [b"not compressed at all", gzip.compress(b"")[:10] + b"\xff" * 50], ids=["no gzip", "broken gzip"]
    )
    def test_that_is_wrong_is_an_error(self, data: bytes) -> None:
        with pytest.raises(BadEncoding):
            reply(data, ("Content-Encoding", "gzip"))

    def test_a_stream_that_inflates_to_nothing_is_read_for_a_while_only(self) -> None:
        source = Source(gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * MAX_WIRE)  # empty stored blocks
        result = reply(source, ("Content-Encoding", "gzip")).result()
        assert (result["body"], result["bodyTruncated"]) == ("", True)
        assert source.taken < MAX_WIRE + 20_000


class TestHeaders:
    def test_are_joined_cleaned_and_keep_their_case(self) -> None:
        answer = reply(
            b"", ("X-aB", "1"), ("x-ab", "2"), ("X-Utf", "grüß".encode().decode("latin-1")), ("X-Nul", "a\0b")
        )
        assert answer.headers == {"X-aB": "1, 2", "X-Utf": "grüß", "X-Nul": "a\ufffdb"}

    def test_hide_the_values_of_cookies(self) -> None:
        answer = reply(b"", ("Set-Cookie", "session=secret"), ("SET-COOKIE", "b=secret"), ("Server", "x"))
        assert answer.headers == {"Set-Cookie": "[redacted]", "Server": "x"}

    def test_are_bounded(self) -> None:
        answer = reply(b"", *((f"X-{n}", "v" * 60_000) for n in range(50)))
        assert 0 < sum(len(name) + len(value) for name, value in answer.headers.items()) <= MAX_HEADERS


class TestParseRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("999999999", 999_999_999),
            ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
            ("Tuesday, 24-Nov-26 12:00:30 GMT", 30),
            ("Tue Nov 24 12:00:30 2026", 30),
            ("Sun Nov 29 12:00:00 2026", 432_000),
            ("Tue Dec  1 12:00:00 2026", 604_800),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),  # past
        ],
    )
    def test_takes_seconds_and_the_three_dates(self, text: str, seconds: int) -> None:
        assert parse_retry_after(text, NOW) == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        "text",
        [
            None,
            "",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x10",
            "9999999999",
            "٣",
            "soon",
            "2026-11-24T12:00:30Z",
            "1, 2",
            "Tue, 24 Nov 2026 12:00:30 +0100",
            "Tue, 24 Nov 2026 12:00:30",
            "24 Nov 2026 12:00:30 GMT",
            "Sat, 31 Feb 2026 12:00:30 GMT",
            "Tue, 24 Foo 2026 12:00:30 GMT",
            "Tue, 24 Nov 2026 25:00:30 GMT",
        ],
    )
    def test_takes_nothing_else(self, text: str | None) -> None:
        assert parse_retry_after(text, NOW) is None

    @given(st.text("0123456789:, -MonTueNvGMT", max_size=32))
    def test_is_never_negative(self, text: str) -> None:
        assert (parse_retry_after(text, NOW) or timedelta(0)) >= timedelta(0)
