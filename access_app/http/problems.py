"""The value behind every error response: a `Problem` (RFC 9457), raised by the API's own code.

Domain exceptions know no HTTP; ``errors`` turns them into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from access_app.refusals import bounded, joined

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:problem-type:task-scheduler:"


class Problem(Exception):
    """One error response. ``kind`` ends its ``type``; ``errors`` maps JSON fields to one sentence each."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors or {}
        self.headers = headers or {}
        self.more = more or {}

    @classmethod
    def invalid(cls, errors: Mapping[str, str]) -> Problem:
        """400: the request names fields or parameters that are wrong, and says which."""
        return cls(400, "invalid-request", joined(errors), errors=errors)

    @classmethod
    def malformed(cls, why: str) -> Problem:
        """400: the body could not be read at all."""
        return cls(400, "malformed-body", f"The body is not acceptable JSON: {why}.")

    @classmethod
    def not_found(cls, detail: str) -> Problem:
        return cls(404, "not-found", detail)

    def document(self, correlation_id: str) -> dict[str, Any]:
        """The JSON of the response."""
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": field_errors(bounded(self.errors.items())),
            "correlationId": correlation_id,
            **self.more,
        }


def field_errors(errors: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"field": name, "message": text} for name, text in errors.items()]
