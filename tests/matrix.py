"""The tests of engine, API and admin on every Python, Django and PostgreSQL that is found here: ``make matrix``.

What a version needs differently stands in the tables below, and nowhere else. Prints a table for ``CONTRIBUTING.md``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from shutil import which
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VENVS: Final = ROOT / ".data" / "matrix"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
#: What is installed over the locked requirements, which hold for every Python. Nothing: the locked Django itself.
DJANGOS: Final = {"5.2": None, "6.1": "Django~=6.1.0"}
#: The oldest Python that a Django runs on.
NEEDS_PYTHON: Final = {"6.1": "3.12"}
#: A warning is an error, but not one of what goes in 2028: whoever runs on 5.2 too cannot follow it yet.
WARNINGS: Final = {"6.1": ("-W", "ignore::django.utils.deprecation.RemovedInDjango2028Warning")}
#: Where the programs are. None: the wheel's.
POSTGRESQLS: Final = {"15": Path("/usr/lib/postgresql/15/bin"), "18": None}
FILES: Final = ("engine", "schedules", "test_api_*.py", "test_admin_*.py")
#: A database or a cluster of somebody else's is not for these runs.
NOT_INHERITED: Final = ("DATABASE_URL", "PG_BINDIR", "TASK_SCHEDULER_TEST_CLUSTER_URL", "PYTEST_ADDOPTS")


def python(version: str) -> Path | None:
    """A Python of that version, on the path or pyenv's."""
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    on_path = which(f"python{version}")
    for found in ([Path(on_path)] if on_path else []) + of_pyenv:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if said.startswith(f"Python {version}."):
            return found
    return None


def combinations() -> Iterator[tuple[str, str, str]]:
    """Python, Django and PostgreSQL, as far as the Django runs on the Python."""
    for version, django, postgresql in product(PYTHONS, DJANGOS, POSTGRESQLS):
        if int(version[2:]) >= int(NEEDS_PYTHON.get(django, "3.0")[2:]):
            yield version, django, postgresql


def run(version: str, django: str, postgresql: str, arguments: list[str]) -> str:
    """What became of the tests on these three."""
    found, programs = python(version), POSTGRESQLS[postgresql]
    if found is None:
        return "not run: no such Python here"
    if programs is not None and not programs.exists():
        return "not run: no such PostgreSQL here"
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    if programs is not None:
        environment["PG_BINDIR"] = str(programs)
    folder = ROOT / "tests" / "integration"
    files = [str(path) for name in FILES for path in sorted(folder.glob(name))]
    options = ["-q", "-p", "no:cacheprovider", *WARNINGS.get(django, ()), *arguments]
    command = [installed(found, version, django), "-m", "pytest", *options, *files]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-10_000:])
    return done.stdout.strip().splitlines()[-1].strip("= ").partition(" in ")[0]


def installed(found: Path, version: str, django: str) -> Path:
    """The Python of an environment with the locked requirements, and with this Django."""
    folder = VENVS / f"python{version}-django{django}"
    inside = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([found, "-m", "venv", "--clear", folder], check=True)
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements" / "test.txt"], check=True)
        if (other := DJANGOS[django]) is not None:
            subprocess.run([*pip, other], check=True)
        (folder / "complete").touch()
    return inside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="combinations with this in them, as 'Django 6.1'")
    options, arguments = parser.parse_known_args()
    print("| Python | Django | PostgreSQL | tests |\n|---|---|---|---|", flush=True)
    for version, django, postgresql in combinations():
        if options.only in f"Python {version}, Django {django}, PostgreSQL {postgresql}":
            became = run(version, django, postgresql, arguments)
            print(f"| {version} | {django} | {postgresql} | {became} |", flush=True)


if __name__ == "__main__":
    main()
