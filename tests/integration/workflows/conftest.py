"""The engine on a real database, as in ``tests/integration/engine``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tasks_app.sessions import Session
from tests.support.engine import Engine
from tests.support.taking import Taking


@pytest.fixture
def engine(session: Any) -> Engine:
    return Engine(session)


@pytest.fixture
def taking(engine: Engine) -> Iterator[Taking]:
    with closing(Session("inputs")) as session:
        yield Taking(engine, session)
