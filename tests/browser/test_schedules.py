"""Schedules in a browser: the form shows what it would do while it is filled in; buttons and days work; pages fit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schedules_app.firing_rules import FireState
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from tests.support.schedules import MINUTE, make_calendar, make_schedule, tasks_of, whole_now
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SCHEDULES = "/admin/schedules_app/schedule/"
WIDTHS = (1280, 400)


def preview(page: Any) -> Any:
    return page.locator("#schedule-preview")


def test_the_form_tells_what_it_would_do_while_it_is_filled_in(page: Any) -> None:
    page.goto(f"{SCHEDULES}add/")
    preview(page).get_by_text("Say when it repeats.").wait_for()
    assert page.locator(".ts-problem").count() == 0
    page.fill("[name=cron]", "30 2 * * *")
    page.fill("[name=timezone]", "Europe/Berlin")
    preview(page).get_by_text("At 02:30 every day, Europe/Berlin time").wait_for()
    assert preview(page).locator("[data-part=fires] li").count() == 10
    preview(page).get_by_text("the clock jumps over 02:30:00: runs right after the jump").first.wait_for()
    page.select_option("[name=dst_gap]", "skip")
    preview(page).get_by_text("the clock jumps over 02:30:00: skipped").first.wait_for()
    page.fill("[name=cron]", "61 2 * * *")
    problem = page.locator(".ts-field:has([name=cron]) .ts-problem")
    problem.wait_for()
    assert page.locator("[name=cron]").get_attribute("aria-describedby") == problem.get_attribute("id")
    assert preview(page).locator("[data-part=fires] li").count() == 0
    page.fill("[name=cron]", "@daily")
    problem.wait_for(state="detached")
    page.fill("[name=name]", "nightly")
    page.get_by_role("button", name="Create schedule").click()
    page.get_by_text("The schedule nightly was created.").wait_for()
    assert Schedule.objects.get().timezone == "Europe/Berlin"


def test_a_schedule_is_made_from_the_overview(begin: Callable[[], Any]) -> None:
    page = begin()
    page.locator("#nav-sidebar").get_by_role("link", name="Schedules", exact=True).click()
    page.get_by_role("link", name="New schedule").click()
    page.fill("[name=name]", "nightly")
    page.fill("[name=cron]", "30 2 * * *")
    preview(page).get_by_text("At 02:30 every day").wait_for()
    page.get_by_role("button", name="Create schedule").click()
    page.get_by_text("The schedule nightly was created.").wait_for()


def test_what_did_not_run_is_made_up_for(begin: Callable[[], Any]) -> None:
    noon = whole_now().replace(hour=12, minute=0, second=0) - timedelta(days=1)
    schedule = make_schedule(name="nightly", due=0, cron="0 12 * * *")
    Schedule.objects.update(defined_at=noon - timedelta(days=9))
    page = begin()
    page.locator("#nav-sidebar").get_by_role("link", name="Schedules", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="nightly").first.click()
    page.locator("#backfill summary").click()
    since, until = page.locator("#backfill input[type=datetime-local]").all()
    since.fill(f"{noon - timedelta(days=2, hours=1):%Y-%m-%dT%H:%M}")
    until.fill(f"{noon - timedelta(hours=1):%Y-%m-%dT%H:%M}")
    page.keyboard.press("Enter")
    eventually(lambda: len(tasks_of(schedule)) == 2)
    page.get_by_text("2 tasks").first.wait_for()


def test_the_form_shows_the_fields_of_the_chosen_kind(page: Any) -> None:
    page.goto(f"{SCHEDULES}add/")
    for kind, text, words in (
        ("interval_seconds", "5400", "Every 90 minutes of elapsed time"),
        ("rrule", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18;BYMINUTE=0;BYSECOND=0", "Every month on the last Friday at 18:00"),
    ):
        page.select_option("[name=repeat]", kind)
        shown = [name for name in ("cron", "interval_seconds", "rrule") if page.locator(f"[name={name}]").is_visible()]
        assert shown == [kind]
        page.fill(f"[name={kind}]", text)
        preview(page).get_by_text(words).wait_for()
    assert not page.locator("[name=misfire_max_runs]").is_visible()
    assert (page.locator("[name=payload]").is_visible(), page.locator("[name=batch]").is_visible()) == (True, False)
    page.select_option("[name=makes]", "batch")
    assert (page.locator("[name=payload]").is_visible(), page.locator("[name=batch]").is_visible()) == (False, True)
    page.select_option("[name=misfire_policy]", "run_all")
    assert page.locator("[name=misfire_max_runs]").is_visible()


def test_the_form_says_when_the_preview_cannot_be_had(page: Any) -> None:
    page.goto(f"{SCHEDULES}add/")
    page.route("**/preview/", lambda route: route.abort())
    page.fill("[name=cron]", "@daily")
    preview(page).get_by_text("The preview cannot be had at the moment.").wait_for()


def test_a_schedule_is_paused_with_a_reason_run_and_copied(page: Any) -> None:
    schedule = make_schedule(name="nightly", due=0)
    page.goto(f"{SCHEDULES}{schedule.pk}/change/")
    page.get_by_role("button", name="Pause").click()
    page.locator("dialog[open]").get_by_label("Reason").fill("partner is down")
    page.locator("dialog[open]").get_by_role("button", name="Pause").click()
    page.get_by_text("Reason: partner is down").wait_for()
    page.get_by_role("button", name="Run now").click()
    page.locator("dialog[open]").get_by_role("button", name="Run now").click()
    page.get_by_text("triggered by user:maria").wait_for()
    assert len(tasks_of(schedule)) == 1
    page.get_by_role("button", name="Clone").click()
    page.locator("dialog[open]").get_by_label("Name").fill("weekly")
    page.locator("dialog[open]").get_by_role("button", name="Clone").click()
    page.get_by_text("weekly is a copy of nightly.").wait_for()
    page.get_by_role("button", name="Enable").click()
    page.get_by_text("The schedule weekly is on.").wait_for()


def test_a_day_of_the_calendar_opens_its_slots(page: Any) -> None:
    schedule, noon = make_schedule(due=0), whole_now().replace(hour=12, minute=0, second=0)
    for n, state in ((1, FireState.MISSED), (2, FireState.FIRED)):
        at = noon - timedelta(days=n)
        ScheduleFire.objects.create(schedule_id=schedule.pk, slot=at, due_at=at, decided_at=at, state=state)
    page.goto(f"{SCHEDULES}{schedule.pk}/change/")
    rows = page.locator(".ts-ledger tbody tr")
    assert rows.count() == 2
    page.get_by_role("link", name=f"{noon - timedelta(days=1):%A %d %B %Y}: 1 missed").click()
    page.get_by_text("Show the newest of all").wait_for()
    assert rows.count() == 1
    assert "MISSED" in rows.inner_text()


def test_pages_fit_and_keep_hostile_text_as_text(page: Any) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>" + "w" * 300
    make_calendar("c" * 100, {"from": "2020-01-01T00:00:00Z", "to": "2990-01-01T00:00:00Z"})
    BlackoutCalendar.objects.update(description=script)
    schedule = make_schedule(
        name="n" * 100, due=0, rrule="FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))), description=script,
        paused_at=datetime.now(UTC), paused_by=script, pause_reason=script, calendars=["c" * 100], created_by=script,
        task={"type": "DUMMY", "queue": "q" * 100, "payload": {"x": script}, "correlationId": "i" * 100},
    )  # fmt: skip
    for n, state in enumerate(FireState):
        at = whole_now() - MINUTE * n
        ScheduleFire.objects.create(
            schedule_id=schedule.pk, slot=at, due_at=at, decided_at=at, state=state, note=script
        )
    calendar = f"/admin/schedules_app/blackoutcalendar/{'c' * 100}"
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for url in (
            SCHEDULES,
            f"{SCHEDULES}add/",
            f"{SCHEDULES}{schedule.pk}/change/",
            f"{SCHEDULES}{schedule.pk}/edit/",
            "/admin/schedules_app/schedulefire/",
            "/admin/schedules_app/blackoutcalendar/",
            f"{calendar}/change/",
            f"{calendar}/edit/",
        ):
            page.goto(url, wait_until="networkidle")
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, (url, width)
