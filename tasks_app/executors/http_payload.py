"""What an HTTP task asks for: its payload checked and parsed into an `HttpCall`, and that call after a redirect.

Pure: no socket, no clock, no setting. Whether the host may be reached is judged when it is (`egress`); what is sent
besides the caller's headers, and what the response means, stands in `http`.

Sources: RFC 9110 §5.5, §5.6.2, §7.6.1 (headers), RFC 3986 (URLs), Fetch standard "HTTP-redirect fetch" (methods).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from requests import PreparedRequest, RequestException
from requests.utils import requote_uri

from access_app.refusals import bounded
from tasks_app.executors.base import JsonObject, PayloadError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_URL_BYTES = 8192
#: RFC 1035 §2.3.4, less what the encoding of the name needs. Checking a name takes far longer than reading it.
MAX_HOST = 253
MAX_HEADERS = 100
#: There are 500 statuses.
MAX_EXPECTED = 500

_FIELDS = frozenset({"url", "method", "headers", "body", "expectedStatus", "followRedirects"})
_NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VARIABLES = re.compile(r"[^a-z0-9]")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_STATUS_RANGE = re.compile(r"([1-5][0-9]{2})-([1-5][0-9]{2})")

#: Headers that belong to the connection (RFC 9110 §7.6.1) or to the framing of the message, not to the caller.
_CONNECTION_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
#: Headers that say which task a request is of: a receiver may trust them. Besides these, all that begin with x-task-.
_TASK_HEADERS = frozenset({"x-correlation-id", "x-scheduled-for"})
#: The caller's headers that may go on to another origin. A list of the harmless ones, as secrets have any name.
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "content-encoding", "content-language"}
    | {"content-type", "idempotency-key", "pragma", "traceparent", "user-agent"}
)
_CONTENT_HEADERS = frozenset({"content-encoding", "content-language", "content-location", "content-type"})


class RedirectRefused(Exception):
    """A redirect that is not followed; the text continues "a redirect that"."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request that can be sent as it is, but for what the task adds to it."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes | None
    expected: tuple[range, ...]
    follow_redirects: bool

    @classmethod
    def parse(cls, payload: JsonObject) -> HttpCall:
        """Check a payload and parse it. Raises `PayloadError` that names every bad field."""
        problems = bounded(_problems(payload))
        if problems:
            raise PayloadError(problems)
        headers = {name: value.strip(" \t") for name, value in payload.get("headers", {}).items()}
        body, content_type = _encode(payload.get("body"))
        if content_type and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = content_type
        return cls(
            url=payload["url"],
            method=payload.get("method", "GET").upper(),
            headers=headers,
            body=body,
            expected=_ranges(payload.get("expectedStatus", ["200-299"])),
            follow_redirects=payload.get("followRedirects", False),
        )

    def redirected(self, status: int, location: str) -> HttpCall:
        """The call that follows this one. Raises `RedirectRefused`.

        The method changes as in browsers: 303 makes everything but HEAD a GET, 301 and 302 only POST. Another origin
        gets the caller's harmless headers only; a step from https down to http is refused.
        """
        try:
            url = requote_uri(urljoin(self.url, location))
            problem = url_problem(url)
        except ValueError:
            problem = "is not a valid URL"
        if problem is not None:
            raise RedirectRefused(f"goes to a URL that {problem}")
        source, target = urlsplit(self.url), urlsplit(url)
        if source.scheme.lower() == "https" and target.scheme.lower() != "https":
            raise RedirectRefused("leads from https down to http")
        call = replace(self, url=url)
        if not _same_site(source, target):
            call = replace(call, headers={k: v for k, v in self.headers.items() if k.lower() in _HARMLESS_HEADERS})
        return call._without_body() if _becomes_get(status, self.method) else call

    def _without_body(self) -> HttpCall:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _CONTENT_HEADERS}
        return replace(self, method="GET", body=None, headers=headers)


def _becomes_get(status: int, method: str) -> bool:
    return (status == 303 and method not in {"GET", "HEAD"}) or (status in {301, 302} and method == "POST")


def _same_site(source: SplitResult, target: SplitResult) -> bool:
    """Same scheme, host and port; or one host's step from http to https on default ports, which costs no secret."""
    ports = {"http": 80, "https": 443}
    before, after = [
        (url.scheme.lower(), url.hostname, url.port or ports[url.scheme.lower()]) for url in (source, target)
    ]
    return before == after or (before[1] == after[1] and before[::2] == ("http", 80) and after[::2] == ("https", 443))


def _encode(body: Any) -> tuple[bytes | None, str | None]:
    """Bytes and content type of a body. A JSON null is no body, since many clients write absent fields as null."""
    if body is None:
        return None, None
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"


def _ranges(expected: Any) -> tuple[range, ...]:
    items = expected if isinstance(expected, list) else [expected]
    bounds = [map(int, item.split("-")) if isinstance(item, str) else (item, item) for item in items]
    return tuple(range(low, high + 1) for low, high in bounds)


def _problems(payload: JsonObject) -> Iterator[tuple[str, str]]:
    for name in sorted(payload.keys() - _FIELDS):
        yield name, "unknown field"
    if "url" not in payload:
        yield "url", "is required"
    for name, check in _CHECKS.items():
        if name in payload:
            yield from check(payload[name])


def _check_url(url: Any) -> Iterator[tuple[str, str]]:
    problem = url_problem(url) if isinstance(url, str) else "must be text"
    if problem is not None:
        yield "url", problem


def url_problem(url: str) -> str | None:
    """Say what keeps a URL from being requested ("must name a host"), or None. Never quotes it."""
    if _NOT_IN_URLS.search(url):
        return "must not contain spaces, backslashes or control characters; write them as %20 and the like"
    if len(url.encode()) > MAX_URL_BYTES:
        return f"must not be longer than {MAX_URL_BYTES} bytes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme.lower() not in {"http", "https"}:
        return "must begin with http:// or https://"
    if "@" in parts.netloc:
        return "must not hold a user name or password, as URLs are shown: send them in an Authorization header"
    if not parts.hostname:
        return "must name a host"
    if len(parts.hostname) > MAX_HOST:
        return f"must not name a host longer than {MAX_HOST} characters"
    if port == 0:
        return "must not name port 0"
    return None if _can_be_prepared(url) else "must name a valid host"


def host_of(url: str) -> str:
    """The host that a URL names, however it is written: lower case, IDNA, no dot at its end. Raises ValueError."""
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, None)
    except RequestException as error:
        raise ValueError(str(error)) from None
    return (urlsplit(prepared.url or "").hostname or "").rstrip(".")


def _can_be_prepared(url: str) -> bool:
    """Whether the library that will send it and the resolver's codec both take the URL."""
    try:
        return bool(host_of(url).encode("idna"))
    except ValueError:  # UnicodeError is one
        return False


def _check_method(method: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(method, str) or method.upper() not in METHODS:
        yield "method", f"must be one of {', '.join(METHODS)}"


def _check_headers(headers: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(headers, dict):
        yield "headers", "must be an object of names and texts"
        return
    if len(headers) > MAX_HEADERS:
        yield "headers", f"must not be more than {MAX_HEADERS}"
        return
    seen: set[str] = set()
    for name, value in headers.items():
        problem = _header_name_problem(name, seen) or _header_value_problem(value)
        if problem is not None:
            yield f"headers.{name}", problem
        seen.add(folded_name(name))


def _header_name_problem(name: str, seen: set[str]) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is not a header name (RFC 9110)"
    folded = folded_name(name)
    if folded in _CONNECTION_HEADERS:
        return "is set by the connection itself"
    if folded.startswith("x-task-") or folded in _TASK_HEADERS:
        return "is set from the task itself"
    if folded == "idempotency-key" != name.lower():
        return "must be spelt Idempotency-Key, to take the place of the one that is sent otherwise"
    return "is given twice in different spellings" if folded in seen else None


def folded_name(name: str) -> str:
    """A header name as CGI, WSGI and PHP peers see it: they make one name of X-Task-Id, x-task-id and X_Task_Id, and
    some, lighttpd for one, of X.Task.Id too: all that is no letter or digit becomes one character."""
    return _NOT_IN_VARIABLES.sub("-", name.lower())


def _header_value_problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    if not _HEADER_VALUE.fullmatch(value):
        return "must be Latin-1 text without line breaks and control characters"
    return None


def _check_body(body: Any) -> Iterator[tuple[str, str]]:
    try:
        _encode(body)
    except UnicodeEncodeError:
        yield "body", "must be valid Unicode (it has a lone surrogate)"


def _check_expected_status(expected: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(expected, list):
        if not _is_status(expected):
            yield "expectedStatus", 'must be a status from 100 to 599, or a list of those and ranges like "200-299"'
        return
    if not 1 <= len(expected) <= MAX_EXPECTED:
        yield "expectedStatus", "must not be empty" if not expected else f"must not be more than {MAX_EXPECTED}"
        return
    for index, item in enumerate(expected):
        if not _is_status(item) and not _is_status_range(item):
            yield f"expectedStatus.{index}", 'must be a status from 100 to 599 or a range like "200-299"'


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599


def _is_status_range(value: Any) -> bool:
    match = _STATUS_RANGE.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match[1] <= match[2]


def _check_follow_redirects(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, bool):
        yield "followRedirects", "must be true or false"


_CHECKS: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "url": _check_url,
    "method": _check_method,
    "headers": _check_headers,
    "body": _check_body,
    "expectedStatus": _check_expected_status,
    "followRedirects": _check_follow_redirects,
}
