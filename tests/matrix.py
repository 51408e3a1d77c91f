"""Tests on every Python, Django and PostgreSQL that is found here: ``make matrix``.

Those of the engine, of schedules, of API and admin, and what else meets Django. Says how long it takes, goes on after a
failure, and ends with a table for ``CONTRIBUTING.md``; the exit status is 1 when one of them failed. What the product
does about a version is in ``access_app/staff/django_versions.py``; warnings are errors on all of them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shutil import which
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VENVS: Final = ROOT / ".data" / "matrix"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
#: What is installed over the locked requirements, which hold for every Python. Nothing: the locked Django itself.
DJANGOS: Final = {"5.2": None, "6.0": "Django~=6.0.0", "6.1": "Django~=6.1.0"}
#: The oldest Python that a Django runs on.
NEEDS_PYTHON: Final = {"6.0": "3.12", "6.1": "3.12"}
#: Where the programs are. None: the wheel's.
POSTGRESQLS: Final = {"15": Path("/usr/lib/postgresql/15/bin"), "18": None}
FILES: Final = (
    "integration/accounts",
    "integration/engine",
    "integration/schedules",
    "integration/test_a[cdp]*.py",  # access, admin, API
    "integration/test_content_security.py",
    "integration/test_error_pages.py",
    "integration/test_hostile_sizes.py",
    "integration/test_logins.py",
    "integration/test_roles.py",
    "integration/test_unseen.py",
    "unit/test_laws_apps.py",
)
#: A database or a cluster of somebody else's is not for these runs.
NOT_INHERITED: Final = ("DATABASE_URL", "PG_BINDIR", "TASK_SCHEDULER_TEST_CLUSTER_URL", "PYTEST_ADDOPTS")
#: What is said of the first; then what those before took counts. Six were taken by 2,730 tests on two busy cores.
MINUTES: Final = 6.0
_PASSED: Final = re.compile(r"[0-9]+ passed(, [0-9]+ skipped)?")
_SUMMARY: Final = re.compile(r"=* *([0-9]+ (?:passed|failed|error).*?) in [0-9.]+s")


@dataclass(frozen=True, slots=True)
class Combination:
    python: str
    django: str
    postgresql: str

    def __str__(self) -> str:
        return f"Python {self.python}, Django {self.django}, PostgreSQL {self.postgresql}"

    @property
    def missing(self) -> str:
        """What of it is not here."""
        programs = POSTGRESQLS[self.postgresql]
        if python(self.python) is None:
            return f"Python {self.python}"
        return "" if programs is None or programs.exists() else f"PostgreSQL {self.postgresql}"


def combinations() -> Iterator[Combination]:
    """As far as the Django runs on the Python."""
    for version, django, postgresql in product(PYTHONS, DJANGOS, POSTGRESQLS):
        if int(version[2:]) >= int(NEEDS_PYTHON.get(django, "3.0")[2:]):
            yield Combination(version, django, postgresql)


def python(version: str) -> Path | None:
    """A Python of that version, on the path or pyenv's."""
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    on_path = which(f"python{version}")
    for found in ([Path(on_path)] if on_path else []) + of_pyenv:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if said.startswith(f"Python {version}."):
            return found
    return None


def run(combination: Combination, arguments: list[str]) -> str:
    """What became of the tests: pytest's last line, or what else was in the way."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    if (programs := POSTGRESQLS[combination.postgresql]) is not None:
        environment["PG_BINDIR"] = str(programs)
    files = [str(path) for name in FILES for path in sorted((ROOT / "tests").glob(name))]
    try:
        command = [installed(combination), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, *files]
    except subprocess.CalledProcessError as error:
        return f"not installed: {error}"
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-10_000:])
    return summary(done.stdout, done.returncode)


def summary(output: str, status: int) -> str:
    """The counts of pytest's last line. Of a run that failed they do not read as those of one that passed."""
    last = output.strip().rpartition("\n")[2]
    counts = found[1] if (found := _SUMMARY.match(last)) else "no result"
    return counts if status == 0 or not _PASSED.fullmatch(counts) else f"exit status {status}: {counts}"


def installed(combination: Combination) -> Path:
    """The Python of an environment with the locked requirements, and with this Django."""
    folder = VENVS / f"python{combination.python}-django{combination.django}"
    inside = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([str(python(combination.python)), "-m", "venv", "--clear", folder], check=True)
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements" / "test.txt"], check=True)
        if (other := DJANGOS[combination.django]) is not None:
            subprocess.run([*pip, other], check=True)
        (folder / "complete").touch()
    return inside


def run_all(chosen: list[Combination], arguments: list[str]) -> dict[Combination, str]:
    """One after the other, whatever became of those before; says how long it still takes."""
    became = {each: f"not run: no {each.missing} here" for each in chosen if each.missing}
    left = [each for each in chosen if each not in became]
    began, each_takes = time.monotonic(), MINUTES
    for number, combination in enumerate(left):
        _say(f"{number + 1} of {len(left)}: {combination}; about {each_takes * (len(left) - number):.0f} minutes left")
        became[combination] = run(combination, arguments)
        _say(f"{combination}: {became[combination]}")
        each_takes = (time.monotonic() - began) / 60 / (number + 1)
    return became


def table(became: dict[Combination, str]) -> str:
    rows = (f"| {each.python} | {each.django} | {each.postgresql} | {what} |" for each, what in became.items())
    return "\n".join(["| Python | Django | PostgreSQL | tests |", "|---|---|---|---|", *rows])


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="combinations with this in them, as 'Django 6.1'")
    options, arguments = parser.parse_known_args(argv)
    chosen = [each for each in combinations() if options.only in str(each)]
    if not chosen:
        parser.error(f"no combination has {options.only!r} in it")
    became = run_all(chosen, arguments)
    sys.stdout.write(table({each: became[each] for each in chosen}) + "\n")
    return 0 if all(_PASSED.fullmatch(what) or what.startswith("not run") for what in became.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
