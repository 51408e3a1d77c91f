"""What a caller has seen of a row it changes: the versions of its If-Match."""

from __future__ import annotations

from collections.abc import Collection

#: Versions a caller accepts (its If-Match); None accepts any.
Versions = Collection[int] | None


class Stale(Exception):
    """What was to be changed, a task if nothing else is said, has changed since the caller read it."""

    def __init__(self, version: int, what: str = "task") -> None:
        super().__init__(f"the {what} has changed since you read it: it is at version {version} now")
        self.version = version


def require(versions: Versions, version: int, what: str = "task") -> None:
    """Raise `Stale` unless a row is as its caller has seen it. For a locked one."""
    if versions is not None and version not in versions:
        raise Stale(version, what)
