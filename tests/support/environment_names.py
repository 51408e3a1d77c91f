"""Every environment variable that some line of the project reads: what documents and deployment files may name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from scheduler_project import database
from tasks_app import conf

ROOT = Path(__file__).resolve().parents[2]
KNOBS = frozenset(knob.metadata["env"] for knob in fields(conf.Config))
_PACKAGES = (
    "scheduler_project",
    "access_app",
    "tasks_app",
    "flow_app",
    "schedules_app",
    "workers_app",
    "monitoring_app",
)
_BY_NAME = re.compile(r"""(?:environ\.get\(|environ\[|_flag\(|number\()\s*["']([A-Z][A-Z0-9_]+)["']""")
_BY_CONSTANT = re.compile(r"environ(?:\.get\(|\[)([A-Z_]+)[)\],]")
#: Read because other programs mean something by them; none of ours to document.
_FOREIGN = frozenset({"LD_LIBRARY_PATH", "PATH", "TZ"})


def known_variables() -> frozenset[str]:
    """All of them: `KNOBS`, and those of database, Django and web."""
    files = [path for name in _PACKAGES for path in (ROOT / name).rglob("*.py")]
    names = {name for path in files for name in _read_in(path.read_text())}
    return frozenset((KNOBS | names | set(database.PARTS.values())) - _FOREIGN)


def _read_in(source: str) -> Iterator[str]:
    yield from _BY_NAME.findall(source)
    for constant in _BY_CONSTANT.findall(source):
        yield from re.findall(rf'^{constant}(?:: Final)? = "([A-Z0-9_]+)"$', source, re.MULTILINE)
