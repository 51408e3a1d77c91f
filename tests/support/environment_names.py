"""Every environment variable that some line of the project reads: what documents and deployment files may name."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from scheduler_project import database
from tasks_app import conf

ROOT = Path(__file__).resolve().parents[2]
KNOBS = frozenset(knob.metadata["env"] for knob in fields(conf.Config))
_PACKAGES = ("scheduler_project", "tasks_app", "workers_app", "monitoring_app")
_READS = re.compile(r"""(?:environ\.get\(|environ\[|_flag\(|number\()\s*["']([A-Z][A-Z0-9_]+)["']""")
_CONSTANT = re.compile(r"""^[A-Z_]+(?:: Final)? = "([A-Z][A-Z0-9]*_[A-Z0-9_]+)"$""", re.MULTILINE)
#: Read because other programs mean something by them; none of ours to document.
_FOREIGN = frozenset({"LD_LIBRARY_PATH"})


def known_variables() -> frozenset[str]:
    """All of them: `KNOBS`, and those of database, Django and web."""
    files = [ROOT / "gunicorn.conf.py", *(path for name in _PACKAGES for path in (ROOT / name).rglob("*.py"))]
    names = {name for path in files for name in _READS.findall(path.read_text())}
    names |= set(_CONSTANT.findall((ROOT / "gunicorn.conf.py").read_text()))
    return frozenset((KNOBS | names | set(database.PARTS.values())) - _FOREIGN)
