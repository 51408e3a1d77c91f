"""That replies become storable text in bounded memory, and how Retry-After is read."""

from __future__ import annotations

import codecs
import io
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict, HTTPResponse

from tasks_app.executors import http_charset
from tasks_app.executors.http_charset import UTF_8
from tasks_app.executors.http_reply import (
    MAX_BODY,
    MAX_HEADERS,
    Reply,
    parse_retry_after,
    to_text,
)
from tests.support.costs import cpu_seconds

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


SENTENCES = {
    "ISO-8859-1": "grüß dich",
    "iso-8859-15": "fünf €",
    "windows-1252": "“fünf” €",
    "windows-1251": "привет",
    "KOI8-R": "привет",
    "Shift_JIS": "日本語、ﾃｽﾄ",
    "cp932": "①㈱髙",
    "EUC-JP": "日本語",
    "ISO-2022-JP": "日本語",
    "EUC-KR": "한국어",
    "GB2312": "中文",
    "GBK": "中文",
    "gb18030": "中文😀",
    "Big5": "中文",
    "UTF-8": "grüß €😀",
    "utf8": "grüß €😀",
    "UTF-16": "grüß €😀",
    "utf-16le": "grüß €😀",
    "UTF-16BE": "grüß €😀",
    "us-ascii": "plain",
}
#: Codecs of Python that are not for text, or are no charset of the web; and names that mean nothing.
NO_CHARSETS = (
    *("hex", "base64", "bz2", "zlib", "rot13", "rot_13", "uu", "quopri", "punycode", "idna", "unicode_escape", "utf-7"),
    *("raw_unicode_escape", "undefined", "mbcs", "oem", "charmap", "hz", "iso2022_kr", "unknown-8bit", "x", "os", "é"),
    *("../../etc/passwd", "encodings.utf_8", "a%00b"),
)


class TestCharset:
    @pytest.mark.parametrize("charset", SENTENCES)
    def test_of_the_answer_is_used(self, charset: str) -> None:
        text = SENTENCES[charset]
        result = reply(text.encode(charset), ("Content-Type", f"text/plain; charset={charset}")).result()
        assert (result["body"], result["bodyTruncated"]) == (text, False)

    @pytest.mark.parametrize(
        "header",
        [
            "text/html;charset=ISO-8859-1",
            "text/html ; Charset = iso-8859-1 ; x=y",
            'text/html; charset="iso-8859-1"',
            "text/html; charset='iso-8859-1'",
            'text/html; x="; charset=utf-8"; charset=latin1',
            "text/html; x; charset=ISO_8859-1:1987",
            "application/json; charset=latin-1",
            "text/html; charset=iso-8859-1, text/html; charset=utf-8",
            "; charset=iso-8859-1",
        ],
    )
    def test_is_found_however_it_is_written(self, header: str) -> None:
        assert reply(b"\xfc", ("content-type", header)).result()["body"] == "ü"

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "text/html",
            "text/html; charset",
            "text/html; charset=",
            'text/html; charset=""',
            "text/html; xcharset=latin1",
            *(f"text/html; charset={name}" for name in NO_CHARSETS),
        ],
    )
    def test_that_is_none_leaves_utf_8(self, header: str) -> None:
        answer = reply("ü".encode() + b"\xfc\\x41", ("Content-Type", header))
        assert answer.result()["body"] == "ü\ufffd\\x41"

    def test_of_a_stranger_is_never_looked_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It imports modules by such names, and remembers those that it does not find."""
        asked: list[str] = []
        original = codecs.lookup
        monkeypatch.setattr(codecs, "lookup", lambda name: asked.append(name) or original(name))
        reply(b"x", ("Content-Type", "text/html; charset=made-up-by-a-peer")).result()
        assert set(asked) <= {UTF_8}

    def test_may_be_any_for_text_and_any_bytes(self) -> None:
        for codec in sorted(set(http_charset._LABELS.values()) | set(http_charset._WIDER.values())):
            for data in (bytes(range(256)), random.Random(codec).randbytes(2000)):
                for whole in (True, False):
                    text, _ = to_text(data, 10_000, codec=codec, whole=whole)
                    assert "\0" not in text.encode().decode()

    @pytest.mark.parametrize("charset", ["Shift_JIS", "EUC-JP", "UTF-16LE", "gb18030", "ISO-2022-JP"])
    @pytest.mark.parametrize("shift", range(4))
    def test_keeps_no_half_of_a_character_where_it_is_cut(self, charset: str, shift: int) -> None:
        body = ("x" * shift + "語" * 70_000).encode(charset)
        result = reply(body, ("Content-Type", f"text/plain; charset={charset}")).result()
        assert result["bodyTruncated"] is True
        assert set(result["body"]) <= {"x", "語"}
        assert len(result["body"].encode()) <= MAX_BODY

    @pytest.mark.parametrize("charset", ["utf-16", "utf-32"])
    def test_of_two_byte_orders_means_the_marked_one_or_else_that_of_browsers(self, charset: str) -> None:
        for order, mark in (("le", ""), ("le", "\ufeff"), ("be", "\ufeff")):
            answer = reply(
                (mark + "grüß").encode(f"{charset}-{order}"), ("Content-Type", f"text/plain; charset={charset}")
            )
            assert answer.result()["body"] == "grüß"

    def test_decides_before_the_limit_counts_bytes_of_utf_8(self) -> None:
        result = reply(b"\xfc" * MAX_BODY, ("Content-Type", "text/plain; charset=latin1")).result()
        assert (result["body"], result["bodyTruncated"]) == ("ü" * (MAX_BODY // 2), True)

    @pytest.mark.parametrize("filler", [";", " ", ";a", ';a="', "; charset", "=", ";=", '"', ";a=b"])
    def test_costs_little_to_find(self, filler: str) -> None:
        header = "text/html;" + filler * (16_000 // len(filler))
        assert cpu_seconds(lambda: http_charset.codec_of(header), enough=0.01) < 0.01


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
