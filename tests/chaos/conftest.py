"""A stack of real processes per test, and what their tasks leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks_app.executors import registry
from tests.support.stack import EffectLog, Stack, running_stack
from tests.support.traces import TraceExecutor, Traces


@pytest.fixture
def stack(committed_db: None, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path) as started:
        yield started


@pytest.fixture
def effects(tmp_path: Path) -> EffectLog:
    return EffectLog(tmp_path / "effects")


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    """For processes started with its ``environment``; this one may create such tasks."""
    monkeypatch.setitem(registry.executors(), TraceExecutor.type, TraceExecutor())
    return Traces(tmp_path / "traces")
