"""Browser libraries in the repository are what their publishers published, under a header that names them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "scheduler_project/static/scheduler/vendor"
#: The published file's digest (SHA-256), by ours; ``npm pack`` brings the package with that file in it.
PUBLISHED = {
    "alpine-csp.js": "0d18d7f8d7910e2e0212f0f056b12f50bebc3abb7d88d2f7c7cb4c336fe4519a",
    "idiomorph.js": "4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96",
}


def test_are_those_that_were_published() -> None:
    assert {path.name for path in VENDOR.iterdir()} == set(PUBLISHED)
    for name, digest in PUBLISHED.items():
        header, _, code = (VENDOR / name).read_bytes().partition(b"*/\n")
        assert re.match(rb"/\*! [@a-z/]+ \d+\.\d+\.\d+, dist/[\w.]+\.js\n", header), name
        assert b"Permission" in header, f"{name} lacks its licence"
        assert hashlib.sha256(code).hexdigest() == digest, name
