"""What a peer sent back, in bounded memory and as text that JSON and PostgreSQL can store; nothing here judges it.

A peer may send for ever, inflate 600 MB out of 0.6, or send bytes that are no text. However long the response, this
reads at most `MAX_WIRE` bytes of its body in small pieces and keeps at most `MAX_BODY` bytes of text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from urllib3.response import BaseHTTPResponse

from tasks_app.executors.base import JsonObject
from tasks_app.executors.http_charset import UTF_8, codec_of, decode
from tasks_app.executors.http_coding import Decoder, UnknownCoding

MAX_BODY = 64 * 1024
#: Bytes of a body that are read from the network at most. Compressed streams can go on for ever and yield nothing.
MAX_WIRE = 1024 * 1024
#: Twice the longest URL, so that a Location that was cut is never taken for a whole one.
MAX_HEADER_VALUE = 16 * 1024
MAX_HEADERS = 32 * 1024

_CHUNK = 16 * 1024
#: A character that reading has cut in half begins behind `MAX_BODY` and so is cut off as a whole.
_ENOUGH = MAX_BODY + 4
_SESSION_SECRETS = frozenset({"set-cookie", "set-cookie2"})
#: The three forms of RFC 9110 §5.6.7: fixed, RFC 850, asctime. `parsedate_to_datetime` alone takes far more than these.
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT|"
    r"[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT|"
    r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}",
    re.ASCII,
)


@dataclass(slots=True)
class Reply:
    """A response as far as it has been received."""

    status: int
    headers: dict[str, str]
    started: float
    _body: bytearray = field(default_factory=bytearray)
    _complete: bool = False
    _note: str | None = None

    @classmethod
    def begin(cls, raw: BaseHTTPResponse, *, started: float) -> Reply:
        """Take over status and headers; ``started`` is the `time.monotonic` of the beginning of the exchange."""
        return cls(raw.status, _headers(raw.headers.itermerged()), started)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name), None)

    def read(self, raw: BaseHTTPResponse) -> None:
        """Read the body, until its end or until there is enough of it. What came before an error is kept.

        Raises `BadCoding`. Nothing is read behind what is kept, and so nothing found wrong there.
        """
        decoder = self._decoder(raw.headers.get("content-encoding", ""))
        wire = 0
        while data := raw.read1(_CHUNK, decode_content=False):
            wire += len(data)
            for piece in decoder.decode(data) if decoder else ():
                self._body += piece
                if len(self._body) >= _ENOUGH:
                    return
            if wire >= MAX_WIRE or (decoder and decoder.spent):
                return
        if decoder:
            decoder.finish()
        self._complete = decoder is not None or not wire

    def _decoder(self, content_encoding: str) -> Decoder | None:
        try:
            return Decoder(content_encoding)
        except UnknownCoding as error:
            self._note = f"left out, as it is encoded as {error}: ask for gzip, deflate or identity in Accept-Encoding"
            return None

    def result(self) -> JsonObject:
        codec = codec_of(self.header("content-type"))
        body, cut = to_text(bytes(self._body), MAX_BODY, codec=codec, whole=self._complete)
        result = {
            "statusCode": self.status,
            "headers": self.headers,
            "body": body,
            "bodyTruncated": cut or not self._complete,
            "durationMs": round((time.monotonic() - self.started) * 1000),
        }
        return result | {"bodyNote": self._note} if self._note and not self._complete else result


def to_text(data: bytes, limit: int, *, codec: str = UTF_8, whole: bool = True) -> tuple[str, bool]:
    """Decode with U+FFFD for invalid bytes and NUL; cut to ``limit`` bytes of UTF-8 between characters, say if cut."""
    text = decode(data, codec, whole=whole).replace("\x00", "\ufffd")
    encoded = text.encode()
    return (text, False) if len(encoded) <= limit else (encoded[:limit].decode("utf-8", "ignore"), True)


def _headers(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names as they came, duplicates joined, the values of cookies hidden; what exceeds `MAX_HEADERS` is left out."""
    headers: dict[str, str] = {}
    room = MAX_HEADERS
    for raw_name, raw_value in items:
        name, value = (_header_text(text) for text in (raw_name, raw_value))
        value = "[redacted]" if name.lower() in _SESSION_SECRETS else value
        room -= len(name.encode()) + len(value.encode())
        if room >= 0:
            headers[name] = value
    return headers


def _header_text(text: str) -> str:
    """`http.client` reads headers as Latin-1; most of what is not ASCII is UTF-8."""
    return to_text(text.encode("latin-1", "replace"), MAX_HEADER_VALUE)[0]


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """The delay a Retry-After header asks for (RFC 9110 §10.2.3: seconds or a date), or None when it is not valid."""
    text = (text or "").strip(" \t")
    if re.fullmatch(r"[0-9]{1,9}", text):
        return timedelta(seconds=int(text))
    if not _HTTP_DATE.fullmatch(text):
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:  # a 31 February
        return None
    return max(timedelta(0), at.replace(tzinfo=UTC) - now)
