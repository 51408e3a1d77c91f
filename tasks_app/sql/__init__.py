"""Statements that lock *and* write *and* return in one trip: one per file, named like the function that runs it.

Everything else goes through the ORM. Parameters are written ``%(name)s``; the header of each file says what it is for,
which index it rides and why it is not the ORM. Statements of another app lie in that app's own ``sql`` folder.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement(name: str, package: str = __name__) -> str:
    """The text of ``<name>.sql`` without its comments (the server need not parse them every time)."""
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    lines = (line.split("--", 1)[0].rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)
