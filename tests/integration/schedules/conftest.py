"""Schedules on a real database, over as many connections as a race needs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engine import Engine


@pytest.fixture
def engine(session: Any) -> Engine:
    return Engine(session)
