"""The header Idempotency-Key, with a fingerprint of the request it came with."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from access_app.http.problems import Problem
from access_app.idempotency import Idempotency

_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def read_idempotency(header: str | None, operation: str, body: Any) -> Idempotency | None:
    """The Idempotency-Key with a fingerprint of what it is for: equal JSON is equal, however it is spelt."""
    if header is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(header):
        raise Problem.invalid({"Idempotency-Key": "must be 1 to 255 visible ASCII characters"})
    try:
        request = json.dumps([operation, body], sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise Problem.malformed("it is nested too deeply") from None
    return Idempotency(header, hashlib.sha256(request.encode()).digest())
