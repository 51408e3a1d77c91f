"""The graph of a batch in a browser: it is opened from the list, a box of the picture leads to its task, and back."""

from __future__ import annotations

from typing import Any

import pytest

from tasks_app.models import Task
from tests.support.pages import make_graph

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [390, 1440])
def test_a_node_is_followed_to_its_task_and_to_the_graph_around_it(page: Any, width: int) -> None:
    batch = make_graph("tidy up")
    last = Task.objects.filter(batch_id=batch.pk).latest("id")
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"/admin/workflows_app/batch/{batch.pk}/change/")
    assert page.locator(".ts-graph > svg").is_visible()
    page.locator(f'.ts-graph a[href*="{last.pk}"]').click()
    page.get_by_role("heading", name="Dependencies").wait_for()
    page.get_by_role("link", name="See the graph around it").click()
    page.get_by_text("this one").wait_for()
    assert page.locator(".ts-here").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("table").get_by_role("link", name=f"…{str(last.pk)[-12:]}").first.click()
    page.get_by_role("heading", name="Dependencies").wait_for()
