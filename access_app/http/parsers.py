"""Request bodies: read within a limit, and parsed as the JSON that PostgreSQL and every other reader agree about.

What a body means is the business of ``inputs``. Everything here that is wrong with a body is a `Problem`: 400, 411,
413 or 415, never a stack trace.
"""

from __future__ import annotations

import json
import re
from typing import IO, Any, Final

from django.conf import settings
from django.http.request import UnreadablePostError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from access_app.http.problems import Problem
from access_app.texts import JSON_NUL

MEDIA_TYPE: Final = "application/json"
#: The largest double has 309 digits: longer numbers are infinite to most readers.
_MOST_DIGITS: Final = 308
_QUOTE: Final = ord('"')
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
#: Lists, objects and commas that a body may have outside its texts: each costs time, and up to thirty times its size
#: in memory, and lists are made without letting other threads run. A payload of 256 KiB cannot have more; ten thousand
#: tasks have a hundred of them each.
MOST_VALUES: Final = 300_000
MOST_BULK_VALUES: Final = 1_000_000
#: A text, also one without an end, or what begins a value.
_TEXT_OR_VALUES: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{,]+', re.DOTALL)


class StrictJSONParser(BaseParser):
    """For views that use ``request.data``; the others call `json_body`, which also reads bodies without a length."""

    media_type = MEDIA_TYPE

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        return json_body(parser_context["request"], limit=settings.MAX_BODY)


def json_body(request: Request, *, limit: int) -> Any:
    """The parsed body of a request that must have one. Raises `Problem`."""
    _check_headers(request)
    return parse_json(
        _read(request, limit), most_values=MOST_VALUES if limit <= settings.MAX_BODY else MOST_BULK_VALUES
    )


def optional_json_body(request: Request, *, limit: int) -> Any:
    """The parsed body, or an empty object when there is none. Raises `Problem`."""
    body = _read(request, limit)
    if not body:
        return {}
    _check_headers(request)
    return parse_json(body)


def empty_body(request: Request) -> None:
    """Accept no body, or an empty JSON object. Raises `Problem` for anything else."""
    if optional_json_body(request, limit=settings.MAX_BODY) != {}:
        raise Problem.invalid({"body": "must be absent or an empty object"})


def parse_json(body: bytes, *, most_values: int = MOST_VALUES) -> Any:
    """Parse strictly: UTF-8, no duplicate names, NUL, lone surrogates, NaN, infinities or absurd numbers."""
    if _has_more_values(body, most_values):
        raise Problem(413, "body-too-large", f"The body must not have more than {most_values} values.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Problem.malformed("it is not UTF-8") from None
    try:
        value = _decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Problem.malformed("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise Problem.malformed("it contains lone surrogates") from None
    except json.JSONDecodeError as error:
        raise Problem.malformed(f"{error.msg}, line {error.lineno} column {error.colno}") from None
    except ValueError as error:
        raise Problem.malformed(str(error)) from None
    if "\\u0000" in text and JSON_NUL.search(text):
        raise Problem.malformed("it contains NUL characters")
    return value


def _has_more_values(body: bytes, most: int) -> bool:
    """Whether there is more to make than `most` values. Texts are looked at only where their commas could matter."""
    if sum(map(body.count, (b",", b"[", b"{"))) <= most:
        return False
    found = 0
    for match in _TEXT_OR_VALUES.finditer(body):
        found += 0 if body[match.start()] == _QUOTE else match.end() - match.start()
        if found > most:
            return True
    return False


def _check_headers(request: Request) -> None:
    media_type, _, parameters = request.META.get("CONTENT_TYPE", "").partition(";")
    if media_type.strip().lower() != MEDIA_TYPE:
        raise Problem(415, "unsupported-media-type", f"The body must be {MEDIA_TYPE}.")
    charset = parameters.strip().lower()
    if charset.startswith("charset=") and charset[8:].strip('"') not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "unsupported-media-type", "The body must be UTF-8.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise Problem(415, "unsupported-media-type", "Compressed bodies are not accepted.")


def _read(request: Request, limit: int) -> bytes:
    """The raw body. Django reads no body that has no Content-Length; servers that end the input for us allow it."""
    length = request.META.get("CONTENT_LENGTH") or ""
    chunked = "HTTP_TRANSFER_ENCODING" in request.META
    if length and not (length.isascii() and length.isdigit()):
        raise Problem.malformed("Content-Length is not a number")
    if chunked and not request.META.get("wsgi.input_terminated"):
        raise Problem(411, "length-required", "This server needs a Content-Length.")
    if not chunked and (len(length) > 18 or int(length or 0) > limit):
        raise _too_large(limit)
    stream = request.META["wsgi.input"] if chunked else request._request
    try:
        body: bytes = stream.read(limit + 1)
    except UnreadablePostError:
        raise Problem.malformed("the connection ended before it did") from None
    except Exception:  # noqa: BLE001 - PEP 3333 names none: servers have their own for chunks that are none
        raise Problem.malformed("it did not come as HTTP has it") from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Problem:
    return Problem(413, "body-too-large", f"The body must not be larger than {limit} bytes.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(f"the name {_twice(pairs)[:100]!a} occurs twice in one object")
    return value


def _twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("every name is another")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number is out of range")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
).decode
