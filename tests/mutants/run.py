"""Applies mutants, each to a copy of the tree of its own, and runs the tests that must turn red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.mutant import ROOT, Mutant

#: Seconds after which a run of tests is ended; a mutant that makes them hang is not killed by that.
LONGEST_RUN: Final = 240
#: The same of all tests that mutants name, in one run without a mutant; each test has a limit of its own.
LONGEST_UNTOUCHED: Final = 3600
#: What a typing error in the table looks like: such a mutant proves nothing about a guard.
_BROKEN: Final = re.compile(r"SyntaxError|Undefined(Column|Table|Function)|NameError|ImportError|IndentationError")
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__", "staticfiles", "build", "dist", "*.egg-info")
#: A database that somebody named, or that another test run brought up, is not for mutants.
_NOT_INHERITED: Final = ("DATABASE_URL", "TASK_SCHEDULER_TEST_CLUSTER_URL", "PYTEST_ADDOPTS")


@dataclass(frozen=True, slots=True)
class Result:
    """How one run of tests ended. ``by`` is the first test that failed, or what else there is to say."""

    name: str
    verdict: str
    seconds: float
    by: str = ""


def run_all(mutants: Iterable[Mutant], *, jobs: int) -> Iterator[Result]:
    """First the tests as they are, for a red test kills nothing; then each mutant. Yields results in their order."""
    mutants = list(mutants)
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    if (untouched := _run("no mutant", tests, longest=LONGEST_UNTOUCHED)).verdict != "survived":
        yield Result("no mutant", "broken", untouched.seconds, f"the tests are red without any mutant: {untouched.by}")
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(run_one, mutants)


def run_one(mutant: Mutant) -> Result:
    return _run(mutant.name, mutant.tests, mutant)


def _run(name: str, tests: Iterable[str], mutant: Mutant | None = None, *, longest: float = LONGEST_RUN) -> Result:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="task-scheduler-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=_LEFT_OUT)
        if mutant is not None:
            (tree / mutant.path).write_text(mutant.mutated(tree))
        status, output = _pytest(tree, tests, longest)
    return _result(name, status, output, time.monotonic() - began)


def _pytest(tree: Path, tests: Iterable[str], longest: float) -> tuple[int | None, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=30", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def _result(name: str, status: int | None, output: str, seconds: float) -> Result:
    if status is None:
        return Result(name, "broken", seconds, f"did not end within {seconds:.0f} s")
    if status == 0:
        return Result(name, "survived", seconds)
    failed = next((line for line in output.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))), "")
    if status != 1 or not failed or _BROKEN.search(failed):
        return Result(name, "broken", seconds, failed or output.strip()[-400:])
    return Result(name, "killed", seconds, failed.split(" - ")[0].partition(" tests/")[2])
