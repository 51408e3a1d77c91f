"""The engine on a real database, as in ``tests/integration/engine``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engine import Engine


@pytest.fixture
def engine(session: Any) -> Engine:
    return Engine(session)
