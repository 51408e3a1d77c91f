"""Conditional requests (RFC 9110 §13): ETags made of the version of a row, If-Match and If-None-Match. Pure."""

from __future__ import annotations

import re
from typing import Final

from access_app.http.problems import Problem

_TAG: Final = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
#: Our tag as it comes back: compressing servers turn "7" into W/"7", "7-gzip", "7;gzip" or "7-br".
_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?:[-;](?:gzip|br|zstd|deflate))?", re.ASCII)


def etag(version: int) -> str:
    return f'"{version}"'


def if_match(header: str | None) -> frozenset[int] | None:
    """The versions an If-Match accepts, weak forms taken for strong ones; None: any. Raises `Problem`."""
    if header is None or header.strip() == "*":
        return None
    versions = _versions(header)
    if versions is None:
        raise Problem.invalid({"If-Match": 'must be *, or ETags in double quotes such as "7"'})
    return versions


def is_fresh(header: str | None, version: int) -> bool:
    """Whether an If-None-Match names this version, so that 304 is returned. What cannot be read matches nothing."""
    if header is None:
        return False
    return header.strip() == "*" or version in (_versions(header) or ())


def _versions(header: str) -> frozenset[int] | None:
    tags, at = [], 0
    while match := _TAG.match(header, at):
        tags.append(match[1])
        at = match.end()
        if at == len(header):
            found = map(_VERSION.fullmatch, tags)
            return frozenset(int(version[1]) for version in found if version)
        if header[at] != ",":
            break
        at += 1
    return None
