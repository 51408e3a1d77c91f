"""The pictures of the main pages in docs/pages.md: an ordinary day of a shop, 1,280 pixels wide.

``PICTURES=docs/images make browser ARGS="-k pictures"`` keeps them; otherwise they are thrown away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from access_app.staff.display import page_url
from flow_app.admin import banner
from schedules_app.models import Schedule
from tests.support import shop
from tests.support.png import shrink
from tests.unit.test_pages_doc import PICTURES
from workers_app.models import Scheduler, Worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SIZE = {"width": 1280, "height": 800}
FOLDER = Path(os.environ["PICTURES"]) if "PICTURES" in os.environ else None


class Camera:
    """Takes pages as they are for somebody who looks, with processes that have just been heard of."""

    def __init__(self, page: Any, folder: Path | None) -> None:
        self._page, self._folder = page, folder
        self.taken: list[str] = []
        page.set_viewport_size(SIZE)

    def take(self, name: str, url: str, press: str = "") -> None:
        now = timezone.now()
        Worker.objects.update(last_heartbeat_at=now)
        Scheduler.objects.update(last_heartbeat_at=now)
        cache.clear()
        banner.forget()
        self._page.goto(url, wait_until="networkidle")
        if press:
            self._page.get_by_role("button", name=press).click()
            self._page.wait_for_load_state("networkidle")
        self._page.locator("h1").first.wait_for()
        self._page.evaluate("document.fonts.ready")
        data = self._page.screenshot(animations="disabled", caret="hide")
        self.taken.append(name)
        if self._folder:
            (self._folder / f"{name}.png").write_bytes(shrink(data))


def test_pictures_of_the_main_pages(page: Any) -> None:
    camera = Camera(page, FOLDER)
    day = shop.make_shop()
    batch, failed, built = shop.make_nightly_batch(day), shop.make_failed_task(day), shop.make_build(day)
    nightly = Schedule.objects.get(name="nightly-report")
    for name, url in (
        ("overview", "/admin/"),
        ("tasks", "/admin/tasks_app/task/"),
        ("task", page_url(failed)),
        ("output", f"{page_url(built).removesuffix('change/')}output/"),
        ("failures", "/admin/tasks_app/failuregroup/"),
        ("queues", "/admin/flow_app/queue/"),
        ("schedule", page_url(nightly)),
        ("batch", page_url(batch)),
        ("history", "/admin/history/"),
        ("workers", "/admin/workers_app/worker/"),
    ):
        camera.take(name, url)
    camera.take("act-on-many", "/admin/tasks_app/bulkoperation/add/?action=cancel&queue=mail&status=PENDING", "Look")
    camera.take("incident", page_url(shop.make_incident(day)))
    assert sorted(camera.taken) == sorted(PICTURES)
