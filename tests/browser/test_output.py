"""The log viewer in a browser: lines, places, search, folds, colours, what it follows; what it never runs or hides."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib.sessions.models import Session

from tasks_app.api import output
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskOutput
from tasks_app.services import create_task
from tasks_app.states import TaskStatus
from tests.browser.test_every_page import COLOURS, RULES, violations
from tests.factories import make_output, make_task
from tests.support.stack import running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own server holds a thread for each stream, and hears that one is gone when it says something."""
    monkeypatch.setattr(output, "MOST_IN_THREADS", 20)
    monkeypatch.setattr(output, "BEAT_SECONDS", 0.3)


def ended(*texts: str, **more: Any) -> Task:
    task = make_task(status=TaskStatus.SUCCESS, attempt=1, type="SHELL")
    make_output(task, *texts, **more)
    return task


def opened(page: Any, task: Task, place: str = "") -> Any:
    page.goto(f"/admin/tasks_app/task/{task.pk}/output/{place}")
    page.locator("#ts-log-state", has_text=re.compile("has ended|Following")).wait_for()
    return page.locator("#ts-log")


def lines_of(log: Any) -> list[str]:
    found: list[str] = log.locator("li").all_inner_texts()
    return [line.replace("\n", " ") for line in found]


def numbered(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last + 1))


def test_shows_lines_with_colours_and_everything_else_as_it_is(page: Any) -> None:
    evil = "<img src=x onerror=alert(1)> \u202eevil\x1b]8;;http://x.example\x07 \x1b[31mred \x1b[1;42mbold\x1b[0m off\n"
    log = opened(page, ended("one\n", evil, "half ", "a line\r\n"))
    assert log.locator("img, a[href^=http]").count() == 0
    assert log.locator("li").nth(1).locator("code").inner_text() == (
        "<img src=x onerror=alert(1)> ⟨U+202E⟩evil⟨U+001B⟩]8;;http://x.example⟨U+0007⟩ red bold off"
    )
    assert log.locator(".ts-fg-1").inner_text() == "red "
    assert log.locator(".ts-bg-2.ts-bold").inner_text() == "bold"
    assert lines_of(log)[2] == "3 half a line"


def test_says_what_is_left_out_and_numbers_lines_as_they_were_written(page: Any) -> None:
    task = ended("head\n")
    make_output(task, "tail\n", start=1000, line=31)
    log = opened(page, task)
    assert lines_of(log) == ["1 head", "995 bytes left out", "31 tail"]


def test_what_a_worker_runs_is_followed_and_searched(begin: Callable[[], Any], tmp_path: Path) -> None:
    """A worker in a process of its own writes it."""
    go_on = tmp_path / "go-on"
    command = f"for i in $(seq 40); do echo line $i; done; until [ -e {go_on} ]; do sleep 0.05; done; echo at last"
    task = create_task(NewTask(type="SHELL", payload={"command": command}), created_by="user:anna").task
    with running_stack(tmp_path) as stack:
        stack.scheduler()
        stack.worker()
        eventually(lambda: Task.objects.get(pk=task.pk).status == TaskStatus.RUNNING, timeout=20)
        page = begin()
        page.locator("a.ts-stat", has_text="Running").click()
        page.locator(f"[id='row-{task.pk}'] th a").click()
        page.get_by_role("link", name="Follow its output").click()
        log = page.locator("#ts-log")
        log.get_by_text("line 40").wait_for(timeout=10_000)
        page.get_by_label("Search the output").fill("line 4")
        page.get_by_label("Search the output").press("Enter")
        page.locator("#ts-log-count").get_by_text("1 of 2").wait_for()
        go_on.touch()
        log.get_by_text("at last").wait_for()
        page.locator("#ts-log-badge").get_by_text("SUCCESS").wait_for(timeout=20_000)


def test_leads_to_a_line_by_its_address(page: Any) -> None:
    task = ended(*(numbered(start, start + 499) for start in range(1, 30_000, 500)))
    log = opened(page, task, "#a1-L15000")
    assert log.locator(".ts-log-here code").inner_text() == "line 15000"
    assert log.locator(".ts-log-here").is_visible()
    assert log.locator("li").count() <= 2000
    log.locator(".ts-log-number", has_text=re.compile("^14990$")).click()
    log.locator(".ts-log-here", has_text="line 14990").wait_for()
    assert page.url.endswith("#a1-L14990")
    assert log.locator(".ts-log-here code").inner_text() == "line 14990"


def test_holds_a_window_of_lines_that_moves_with_what_is_read(page: Any) -> None:
    log = opened(page, ended(*(numbered(start, start + 499) for start in range(1, 10_000, 500))))
    for _ in range(40):
        log.evaluate("box => { box.scrollTop = box.scrollHeight; }")
        page.evaluate("new Promise(requestAnimationFrame)")
        assert log.locator("li").count() <= 2000
        if log.locator("li").last.locator("code").inner_text() == "line 10000":
            break
    assert log.locator("li").last.locator("code").inner_text() == "line 10000"
    for _ in range(40):
        log.evaluate("box => { box.scrollTop = 0; }")
        page.evaluate("new Promise(requestAnimationFrame)")
        if log.locator("li").first.locator("code").inner_text() == "line 1":
            break
    assert log.locator("li").first.locator("code").inner_text() == "line 1"


def test_searches_all_that_is_stored_and_steps_from_match_to_match(page: Any) -> None:
    log = opened(page, ended(*(numbered(start, start + 499) for start in range(1, 10_000, 500)), "Line 77 again\n"))
    page.get_by_label("Search the output").fill("line 77")
    page.get_by_label("Search the output").press("Enter")
    count = page.locator("#ts-log-count")
    count.get_by_text("1 of 112").wait_for()
    assert log.locator(".ts-log-here mark").inner_text() == "line 77"
    page.get_by_label("Previous match").click()
    assert count.inner_text() == "112 of 112"
    assert log.locator(".ts-log-here code").inner_text() == "Line 77 again"
    page.get_by_label("Search the output").press("Enter")
    assert count.inner_text() == "1 of 112"
    page.get_by_label("Search the output").fill("nowhere")
    page.get_by_label("Search the output").press("Enter")
    count.get_by_text("no match").wait_for()


def test_folds_groups(page: Any) -> None:
    log = opened(page, ended("before\n::group::Install\nnpm\nnode\n::endgroup::\nafter\n"))
    fold = log.get_by_role("button", name="Install")
    assert fold.get_attribute("aria-expanded") == "true"
    fold.click()
    assert lines_of(log) == ["1 before", "2 Install", "6 after"]
    assert log.get_by_role("button", name="Install").get_attribute("aria-expanded") == "false"
    page.evaluate("location.hash = '#a1-L4'")
    log.get_by_text("node").wait_for()


def test_follows_until_somebody_scrolls_and_then_stays(page: Any) -> None:
    task = make_task(status=TaskStatus.RUNNING, attempt=1, type="SHELL")
    make_output(task, numbered(1, 200))
    log = opened(page, task)
    follow = page.locator("#ts-log-follow")
    log.get_by_text("line 200", exact=True).wait_for()
    assert follow.get_attribute("aria-pressed") == "true"
    make_output(task, numbered(201, 300), start=10_000, line=201)
    log.get_by_text("line 300", exact=True).wait_for()
    eventually(lambda: log.evaluate("box => box.scrollTop + box.clientHeight >= box.scrollHeight - 2"))
    log.hover()
    page.mouse.wheel(0, -2000)
    eventually(lambda: follow.get_attribute("aria-pressed") == "false")
    at = log.evaluate("box => box.scrollTop")
    make_output(task, numbered(301, 400), start=20_000, line=301)
    page.locator("#ts-log-state", has_text="400 lines").wait_for()
    assert log.evaluate("box => box.scrollTop") == at
    Task.objects.filter(pk=task.pk).update(
        status=TaskStatus.SUCCESS, finished_at=task.created_at, started_at=task.created_at
    )
    page.locator("#ts-log-state", has_text="Attempt 1 has ended").wait_for()


def test_shows_each_attempt_by_itself_and_goes_on_to_the_next(page: Any) -> None:
    task = make_task(status=TaskStatus.RUNNING, attempt=2, type="SHELL")
    make_output(task, "first try\n")
    make_output(task, "second try\n", attempt=2)
    log = opened(page, task)
    log.get_by_text("second try").wait_for()
    page.get_by_label("Attempt").select_option("1")
    log.get_by_text("first try").wait_for()
    assert (page.url[-3:], log.get_by_text("second try").count()) == ("#a1", 0)
    page.get_by_label("Attempt").select_option("2")
    log.get_by_text("second try").wait_for()
    Task.objects.filter(pk=task.pk).update(attempt=3)
    page.locator("#ts-log-state", has_text="Attempt 2 has ended").wait_for()
    make_output(task, "third try\n", attempt=3)
    log.get_by_text("third try").wait_for(timeout=10_000)


def test_says_since_when_it_is_stale_and_that_one_is_signed_out(page: Any) -> None:
    task = make_task(status=TaskStatus.RUNNING, attempt=1, type="SHELL")
    make_output(task, "one\n")
    page.goto(f"/admin/tasks_app/task/{task.pk}/output/")
    page.locator("#ts-log").get_by_text("one").wait_for()
    page.route("**/lines/**", lambda route: route.abort())
    monkey = page.locator("#ts-live-notice")
    page.evaluate("location.hash = '#a2'")
    monkey.get_by_text(re.compile("Stale since .*: the server cannot be reached")).wait_for()
    Session.objects.all().delete()
    page.unroute("**/lines/**")
    monkey.get_by_text("you are signed out").wait_for(timeout=10_000)
    assert "output" in (monkey.get_by_role("link").get_attribute("href") or "")


def test_reads_pages_where_no_stream_is_to_be_had(
    page: Any, expected: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected.add(503)
    monkeypatch.setattr(output, "MOST_IN_THREADS", 0)
    task = make_task(status=TaskStatus.RUNNING, attempt=1, type="SHELL")
    make_output(task, "one\n")
    page.goto(f"/admin/tasks_app/task/{task.pk}/output/")
    page.locator("#ts-log").get_by_text("one").wait_for()
    make_output(task, "two\n", start=4, line=2)
    page.locator("#ts-log").get_by_text("two").wait_for()


def test_can_be_taken_along(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log = opened(page, ended("\x1b[31mone\x1b[0m\ntwo\n"))
    log.get_by_text("two").wait_for()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "one\ntwo"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith("-attempt-1.txt")
    assert download.value.path().read_text() == "\x1b[31mone\x1b[0m\ntwo\n"


def test_fits_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    log = opened(page, ended("x" * 500 + "\n"))
    log.locator("li").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Wrap").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert TaskOutput.objects.count() == 1


def test_is_clean_in_every_colour(page: Any) -> None:
    codes = [*range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)]
    colours = "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in codes)
    task = ended("\x1b[1mbold\x1b[0m \x1b[2mfaint\x1b[0m\n::group::Colours\n", colours, "::endgroup::\n")
    make_output(task, "late\n", start=90_000, line=77, stream="stderr")
    opened(page, task)
    page.get_by_label("Search the output").fill("colour 3")
    page.get_by_label("Search the output").press("Enter")
    page.locator("#ts-log-count", has_text="of").wait_for()
    page.evaluate(AXE_SCRIPT)
    found = violations(page, "light", RULES)
    page.evaluate("document.documentElement.classList.add('dark')")
    found += violations(page, "dark", COLOURS)
    assert not found, "\n".join(found)
