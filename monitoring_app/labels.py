"""The values that labels of metrics may take: closed sets, because each value is a time series for good.

Whatever a stranger can choose (a method, a path, a header) and whatever may stand in old rows (a type nobody has
registered any more) becomes `OTHER` when it is not among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from django.urls import URLPattern, get_resolver

from tasks_app.executors.registry import executors

OTHER: Final = "_other"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUSES: Final = frozenset(str(status.value) for status in HTTPStatus)
CHARSETS: Final = ("utf-8",)
TRANSPORTS: Final = ("http", "https")
#: What Django calls a request that no route knows.
UNNAMED: Final = "<unnamed view>"
#: All pages of the admin: how they fare is in the log, line by line.
ADMIN: Final = "admin"
#: Names of exception classes: code chooses them, but nobody can list them.
MOST_EXCEPTIONS: Final = 50


def among(value: str, choices: Collection[str]) -> str:
    """The value, or `OTHER` when it is none of the choices."""
    return value if value in choices else OTHER


def task_types() -> list[str]:
    """The types that tasks can be created with."""
    return sorted(executors())


@cache
def views() -> frozenset[str]:
    """The names of all routes, those of the admin as one."""
    return frozenset({UNNAMED, *_names(get_resolver().url_patterns)})


def view(name: str) -> str:
    return among(ADMIN if name.startswith("admin:") else name, views())


class FirstSeen:
    """A set of values that is closed once it holds ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if len(self._seen) < self._most:
            self._seen.add(value)
        return among(value, self._seen)


def _names(patterns: Iterable[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern.name or pattern.lookup_str
        elif pattern.namespace is None:
            yield from _names(pattern.url_patterns)
        else:
            yield str(pattern.namespace)
