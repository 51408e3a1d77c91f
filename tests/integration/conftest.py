"""Callers of the REST API, on a database whose changes are rolled back after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.template.response import SimpleTemplateResponse
from django.test import Client
from psycopg.conninfo import make_conninfo

from flow_app.admin import banner
from tests.factories import make_key
from tests.support.api import Api


@pytest.fixture(autouse=True)
def nothing_is_known_of_freezes() -> None:
    """What the pages of this process show of freezes outlives the database of a test."""
    banner.forget()


@pytest.fixture
def api(db: None) -> Api:
    """A caller with every scope."""
    return Api(make_key(name="caller"))


@pytest.fixture
def anonymous(db: None) -> Api:
    """A caller without a key."""
    return Api(None)


@pytest.fixture
def staff(client: Client) -> Client:
    """Maria, who may do everything in the admin."""
    client.force_login(User.objects.create_superuser("maria"))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    """Victor, who may look at everything."""
    user = User.objects.create_user("victor", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.fixture
def fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """For walks over pages that look at statuses, rows and `context_data`, and not at what pages look like."""
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", property(lambda self: ""))


@pytest.fixture
def fresh() -> Iterator[str]:
    """An empty database; its address."""
    name = f"fresh_{os.getpid()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as keeper:
        keeper.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        keeper.execute(f'CREATE DATABASE "{name}"'.encode())
        yield make_conninfo(os.environ["DATABASE_URL"], dbname=name)
        keeper.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
