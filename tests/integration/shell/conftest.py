"""What tests of SHELL attempts share: an executor of their own, and a mark by which its processes are known."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from tasks_app import conf
from tasks_app.executors.base import Outcome
from tasks_app.executors.shell import ShellExecutor
from tests.support.shell_tasks import GRACE, Running, alive, execution


@pytest.fixture
def make() -> Iterator[Callable[..., ShellExecutor]]:
    made: list[ShellExecutor] = []

    def build(grace: timedelta = GRACE, **environ: str) -> ShellExecutor:
        made.append(ShellExecutor(config=conf.load(environ), grace=grace))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


@pytest.fixture
def executor(make: Callable[..., ShellExecutor]) -> ShellExecutor:
    return make()


@pytest.fixture
def mark() -> Iterator[str]:
    """An argument for `sleep` that no other process has; what is left of it is killed after a failed test."""
    mark = f"61.{uuid4().int % 10**12:012d}"
    yield mark
    for pid in alive(mark):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run(executor: ShellExecutor) -> Callable[..., Outcome]:
    return lambda command, seconds=30, **more: executor.execute(
        execution({"command": command, **more}, seconds=seconds)
    )


@pytest.fixture
def start(executor: ShellExecutor) -> Callable[..., Running]:
    return lambda command, seconds=30: Running(executor, execution({"command": command}, seconds=seconds))
