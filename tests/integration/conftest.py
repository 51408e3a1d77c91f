"""Callers of the REST API, on a database whose changes are rolled back after each test."""

from __future__ import annotations

import pytest

from tests.factories import make_key
from tests.support.api import Api


@pytest.fixture
def api(db: None) -> Api:
    """A caller with every scope."""
    return Api(make_key(name="caller"))


@pytest.fixture
def anonymous(db: None) -> Api:
    """A caller without a key."""
    return Api(None)
