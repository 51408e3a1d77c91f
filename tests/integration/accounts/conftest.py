"""Who is signed in, and whose accounts there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduler_project import error_pages
from tests.support.accounts import (
    ACCOUNTS,
    PEOPLE,
    person,
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals without the frame of navigation, of which there are hundreds."""
    monkeypatch.setattr(error_pages, "_framed", lambda request, page: error_pages.bare(page))


@pytest.fixture
def sign_in() -> Callable[[str], Client]:
    def sign_in(name: str) -> Client:
        browser = Client()
        user = person(name, PEOPLE[name], is_staff=True, is_superuser=name == "root")
        browser.force_login(user)
        return browser

    return sign_in


@pytest.fixture
def accounts() -> dict[str, User]:
    made = {name: person(name, permissions, is_superuser=name == "chief") for name, permissions in ACCOUNTS.items()}
    made["chief"].is_staff, made["left"].is_active = True, False
    for account in made.values():
        account.save()
    return made
