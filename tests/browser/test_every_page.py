"""Every page in a browser, light and dark: nothing the Content-Security-Policy refuses, no error in the console."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.pages import admin_addresses, make_everything, make_schedules

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: Pages outside the admin.
ELSEWHERE = {"docs": "/docs", "nothing in the admin": "/admin/nonsense/"}


@pytest.fixture
def pages(page: Any) -> dict[str, str]:
    """The address of each page, by name; what is no page, or leads to another, is left out."""
    make_everything("text")
    make_schedules("text")
    found = {}
    for name, url in {**admin_addresses(), **ELSEWHERE}.items():
        answer = page.request.get(url, max_redirects=0, headers={"Accept": "text/html"})
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        if is_page and answer.body() and answer.status not in (301, 302):
            found[name] = url
    assert len(found) > 50
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_is_shown_without_a_word_in_the_console(page: Any, pages: dict[str, str], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for url in pages.values():
        page.goto(url)
        page.wait_for_function("!document.querySelector('[x-cloak]:not([x-show])')")  # Alpine has begun
