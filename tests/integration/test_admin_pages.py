"""Every page of the staff UI renders whatever its rows hold, shows no secret, and costs a bounded number of reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from access_app import keys
from access_app.models import AuditEvent
from flow_app.queues import pause_queue
from monitoring_app import dashboard
from tasks_app import services
from tasks_app.fields import QUEUE_NAME, NewTask
from tasks_app.models import Task, TaskExecution
from tasks_app.states import ExecutionStatus, Gate, TaskStatus
from tests.factories import make_execution, make_task
from tests.support.pages import make_worker
from tests.support.people import READING_FORMS
from tests.support.schedules import make_schedule
from workers_app.models import Scheduler, Worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]

SCRIPT = "<script>alert(1)</script>"
TOKEN = "a=1&access_token=hunter2"
REASON = f"{SCRIPT} see https://x/?{TOKEN}"
TASKS = "/admin/tasks_app/task/"


def make_history() -> Task:
    """A task that has been through everything, with hostile text in every field that comes from outside."""
    printed = f"out {SCRIPT} https://x/?{TOKEN}"
    shell = {"exitCode": 1, "stdout": printed, "stderr": SCRIPT, "stdoutTruncated": True}
    task = make_task(
        status=TaskStatus.FAILED,
        attempt=6,
        retry_count=2,
        crash_count=1,
        payload={"url": f"https://u:hunter2@x/{SCRIPT}?{TOKEN}", "headers": {"Authorization": "hunter2", "X": SCRIPT}},
        queue="a.b:c",
        type="HTTP",
        correlation_id="order-41",
        created_by=f"key:{SCRIPT}",
        concurrency_key=SCRIPT,
    )
    ends = {
        ExecutionStatus.LOST: (
            None,
            {"outcome": "SUCCESS", "at": "2026-01-01T00:00:00Z", "result": shell, "error": None},
        ),
        ExecutionStatus.RELEASED: (None, None),
        ExecutionStatus.TIMED_OUT: (shell, None),
        ExecutionStatus.CANCELLED: (shell, None),
        ExecutionStatus.SUCCESS: (
            {
                "statusCode": 200,
                "body": f"{SCRIPT} https://x/?{TOKEN}",
                "headers": {"set-cookie": "hunter2", "Location": f"/x?{TOKEN}"},
            },
            None,
        ),
        ExecutionStatus.FAILED: (shell, None),
    }
    for attempt, (status, (result, came_late)) in enumerate(ends.items(), start=1):
        failed = status == ExecutionStatus.FAILED
        make_execution(
            task,
            attempt=attempt,
            status=status,
            task_status=TaskStatus.FAILED if failed else TaskStatus.PENDING,
            result=result,
            late=came_late,
            error_code="EXIT_CODE" if failed else None,
            error_message=f"failed {SCRIPT} at https://x/?{TOKEN}" if failed else None,
        )
    AuditEvent.objects.create(
        actor=f"user:{SCRIPT}", action="task.retried", target=f"task:{task.pk}", task_id=task.pk, reason=REASON,
        from_status="FAILED", to_status="PENDING", detail={"note": REASON},
    )  # fmt: skip
    return task


def pages_of(task: Task) -> list[str]:
    """The address of every page that shows something of the rows there are."""
    execution = TaskExecution.objects.order_by("-attempt").first()
    event = AuditEvent.objects.first()
    assert execution and event
    rows = [
        ("tasks_app/task", task.pk),
        ("tasks_app/taskexecution", execution.pk),
        ("access_app/auditevent", event.pk),
        ("flow_app/queue", "a.b_3Ac"),
        ("access_app/apikey", keys.ApiKey.objects.get().pk),
    ]
    return [
        "/admin/",
        *(f"/admin/{name}/" for name, _ in rows),
        *(f"/admin/workers_app/{name}/" for name in ("worker", "scheduler")),
        *(f"/admin/{name}/{key}/change/" for name, key in rows),
        f"/admin/tasks_app/task/{Task.objects.filter(type='SHELL', queue='a.b:c').get().pk}/change/",
        f"/admin/workers_app/worker/{Worker.objects.get().pk}/change/",
        f"/admin/workers_app/scheduler/{Scheduler.objects.get().pk}/change/",
    ]


@pytest.fixture
def everything() -> Task:
    task = make_history()
    worker = make_worker(name=SCRIPT, host=SCRIPT, queues=[SCRIPT], labels={SCRIPT: SCRIPT})
    make_task(status=TaskStatus.RUNNING, worker_id=worker.pk, cancel_requested_at=datetime.now(UTC), queue="a.b:c")
    make_task(status=TaskStatus.SCHEDULED, worker_id=worker.pk)
    make_task(
        run_at=datetime.now(UTC) + timedelta(days=1),
        payload={"command": f"{SCRIPT} https://x/?{TOKEN}"},
        type="SHELL",
        queue="a.b:c",
    )
    make_task(status=TaskStatus.FAILED, end_reason="EXPIRED")
    make_task(status=TaskStatus.CANCELLED)
    Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host=SCRIPT)
    pause_queue("a.b:c", actor="user:maria", reason=REASON)
    keys.create_key("shop", ["tasks:read"], actor=f"user:{SCRIPT}")
    return task


class TestPages:
    def test_escape_what_comes_from_outside_and_hide_secrets(self, staff: Client, everything: Task) -> None:
        for url in pages_of(everything):
            response = staff.get(url)
            html = response.content.decode()
            assert response.status_code == 200, url
            assert SCRIPT not in html, url
            assert "hunter2" not in html, url

    def test_can_be_seen_but_not_used_with_view_permissions(self, viewer: Client, everything: Task) -> None:
        for url in pages_of(everything):
            html = viewer.get(url).content.decode()
            assert set(re.findall('<form[^>]*method="post"[^>]*>', html)) <= READING_FORMS, url
            assert '_selected"' not in html, url
            assert "addlink" not in html, url

    def test_ask_strangers_to_sign_in(self, client: Client, everything: Task) -> None:
        for url in pages_of(everything):
            response = client.get(url)
            assert response.status_code == 302, url
            assert response["Location"].startswith("/admin/login/"), url

    def test_refuse_staff_without_permissions(self, client: Client, everything: Task) -> None:
        client.force_login(User.objects.create_user("nobody", is_staff=True))
        assert client.get("/admin/").status_code == 200
        assert everything.queue not in client.get("/admin/").content.decode()
        for url in pages_of(everything)[1:]:
            assert client.get(url).status_code == 403, url

    def test_need_as_many_reads_for_many_rows_as_for_few(self, staff: Client, everything: Task) -> None:
        few = {url: _reads(staff, url) for url in pages_of(everything)}
        for n in range(30):
            failed = make_task(status=TaskStatus.FAILED, attempt=1, queue=f"q{n}")
            make_execution(failed, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED)
            make_task(status=TaskStatus.RUNNING, worker_id=make_worker().pk, queue=f"r{n}")
            pause_queue(f"r{n}", actor="user:maria")
        for attempt in range(7, 37):
            make_execution(everything, attempt=attempt)
        cache.clear()
        for url, reads in few.items():
            assert _reads(staff, url) <= reads, url
            assert reads <= 31, url  # one of them is the look of the banner, which serves all pages for a while

    def test_answer_404s_and_broken_ids_without_an_error(self, staff: Client) -> None:
        models = (
            "tasks_app/task",
            "tasks_app/taskexecution",
            "flow_app/queue",
            "flow_app/target",
            "access_app/auditevent",
            "access_app/apikey",
        )
        for model in models:
            for key in ("nonsense", str(uuid4()), "9" * 40, "%00", "_00", "a/b"):
                is_queue = model == "flow_app/queue" and QUEUE_NAME.fullmatch(key)  # naming one is enough
                codes = (200,) if is_queue else (302, 404)
                assert staff.get(f"/admin/{model}/{key}/change/").status_code in codes, (model, key)

    @pytest.mark.parametrize(
        "url",
        [
            "search/?s=a&page=x",
            "search/?s=a&page=99",
            "r/1/nonsense/",
            "autocomplete/?app_label=x",
            "tasks_app/task/?_facets=True",
            "tasks_app/task/?_popup=1",
            "tasks_app/task/?status=FAILED&status=RUNNING",
            "tasks_app/task/?after=9999-12-31T23:59:59&before=0001-01-01T00:00",
            "tasks_app/task/?after=9999-12-31T23:59:59-12:00",
            "tasks_app/task/?ended_before=0001-01-01T00:00:00%2B23:59&ended_after=9999-12-31T23:59:59-12:00",
            "flow_app/queue/?q=%25&o=1.2.-3",
            "tasks_app/taskexecution/?ended=1h&q=x",
            "access_app/auditevent/?actor=x&action=y&q=z",
            "workers_app/worker/?state=NO",
            "auth/user/?id=x",
        ],
    )
    def test_survive_odd_addresses(self, staff: Client, url: str) -> None:
        assert staff.get(f"/admin/{url}").status_code < 500

    def test_are_all_there(self, staff: Client) -> None:
        for url in ("tasks_app/", "workers_app/", "auth/user/", "auth/user/add/", "auth/group/", "password_change/"):
            assert staff.get(f"/admin/{url}").status_code == 200, url

    def test_keep_every_address_behind_the_login(self, client: Client) -> None:
        names = []
        for name, url in _patterns(get_resolver().url_patterns, ""):
            if not name.startswith("admin:") or name in ("admin:login", "admin:logout"):
                continue
            response = client.get(url)
            assert response.status_code == 302, name
            assert response["Location"].startswith("/admin/login/"), name
            names.append(name)
        assert len(names) > 50


class TestTaskList:
    def test_filters_by_status_type_queue_and_time(self, staff: Client) -> None:
        old = make_task(id=_old_id(), queue="x")
        failed = make_task(status=TaskStatus.FAILED, type="HTTP", queue="x")
        running = make_task(status=TaskStatus.RUNNING)
        assert _shown(staff, "status=FAILED") == {failed.pk}
        assert _shown(staff, "status=RUNNING") == {running.pk}
        assert _shown(staff, "status=PENDING") == {old.pk}
        assert _shown(staff, "type=HTTP") == {failed.pk}
        assert _shown(staff, "queue=x") == {failed.pk, old.pk}
        assert _shown(staff, "queue=x&created=1h") == {failed.pk}
        assert _shown(staff, "before=2021-01-01T00:00") == {old.pk}
        assert _shown(staff, "after=2021-01-01T00:00") == {failed.pk, running.pk}
        assert _shown(staff, f"worker={running.worker_id}") == {running.pk}

    @pytest.mark.parametrize("query", ["status=NO", "type=NO", "created=NO", "after=NO", "worker=NO", "nonsense=1"])
    def test_refuses_values_that_mean_nothing(self, staff: Client, query: str) -> None:
        response = staff.get(f"{TASKS}?{query}")
        assert response.status_code == 400
        assert response.context["cl"].result_list == []

    @pytest.mark.parametrize("query", ["p=0", "p=-3", "p=999999", "p=x", "q=%F0%9F%98%80", "q='--", "o=3", "all="])
    def test_survives_odd_pages_and_searches(self, staff: Client, query: str) -> None:
        make_task()
        assert staff.get(f"{TASKS}?{query}").status_code == 200

    def test_finds_by_id_and_by_correlation_id_whatever_the_state(self, staff: Client) -> None:
        kinds = [*((status, Gate.OPEN) for status in TaskStatus), *(("PENDING", gate) for gate in Gate)]
        tasks = [
            make_task(correlation_id="order-41", status=status, queue=f"q{n}", concurrency_key="k", gate=gate)
            for n, (status, gate) in enumerate(kinds)
        ]
        tasks.append(make_task(correlation_id="order-41", crash_count=1))
        make_task(correlation_id="order-410")
        assert _shown(staff, "q=order-41") == {task.pk for task in tasks}
        assert _shown(staff, f"q={tasks[0].pk}") == {tasks[0].pk}
        assert _shown(staff, f"q={uuid4()}") == set()

    def test_shows_the_youngest_first_and_knows_whether_there_are_more(self, staff: Client) -> None:
        made = [make_task().pk for _ in range(51)]
        first = staff.get(TASKS)
        assert [task.pk for task in first.context["cl"].result_list] == made[:0:-1]
        assert "Next" in first.content.decode()
        second = staff.get(f"{TASKS}?p=2")
        assert [task.pk for task in second.context["cl"].result_list] == made[:1]
        assert "Next" not in second.content.decode()

    def test_counts_nothing(self, staff: Client) -> None:
        make_task()
        with CaptureQueriesContext(connection) as queries:
            staff.get(TASKS)
        assert not [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]


class TestTaskPage:
    def test_tells_why_a_task_waits(self, staff: Client) -> None:
        task = make_task(run_at=datetime.now(UTC) + timedelta(hours=2))
        html = staff.get(f"{TASKS}{task.pk}/change/").content.decode()
        assert "NOT_DUE" in html
        assert "NO_LIVE_WORKER" in html

    def test_shows_what_it_depends_on_and_who_waits_for_it(self, staff: Client) -> None:
        parents = services.create_tasks([NewTask(type="DUMMY")] * 22, created_by="test")
        child = services.create_tasks(
            [NewTask(type="DUMMY", depends_on=[str(parent) for parent in parents], run_if="any_failed")],
            created_by="test",
        )[0]
        page, parents_page, plain = (
            staff.get(f"{TASKS}{task_id}/change/").content.decode() for task_id in (child, parents[0], make_task().pk)
        )
        assert "It runs when one has failed; else cancel it." in page
        assert "and 2 more" in page
        assert page.count("has not ended") == 20
        assert str(child) in parents_page
        assert "Dependencies" not in plain

    def test_shows_output_late_results_and_what_was_cut(self, staff: Client) -> None:
        html = staff.get(f"{TASKS}{make_history().pk}/change/").content.decode()
        for text in ("A result came late", "truncated", "out &lt;script&gt;", "LOST", "RELEASED", "TIMED OUT"):
            assert text in html

    def test_shows_the_newest_attempts_of_very_many(self, staff: Client) -> None:
        task = make_task(attempt=40)
        for attempt in range(1, 41):
            make_execution(task, attempt=attempt, status=ExecutionStatus.FAILED, task_status=TaskStatus.PENDING)
        html = staff.get(f"{TASKS}{task.pk}/change/").content.decode()
        assert "Attempt 40" in html
        assert "<b>Attempt 20</b>" not in html
        assert "All attempts" in html


class TestOverview:
    def test_tells_the_state_of_the_system(self, staff: Client, everything: Task) -> None:
        overview = staff.get("/admin/").context["overview"]
        assert overview["stats"]["waiting"] == "1"
        assert overview["stats"]["running"] == "1"
        assert overview["stats"]["failed"] == "1"
        assert overview["live_workers"] == 1
        assert overview["schedulers"] == 1
        assert overview["queues"][0]["name"] == "a.b:c"

    def test_warns_when_nobody_is_alive(self, staff: Client) -> None:
        html = staff.get("/admin/").content.decode()
        assert "No scheduler is alive" in html
        assert "No worker is alive" in html

    def test_names_some_of_many_paused_queues_and_praises_nothing(self, staff: Client) -> None:
        for n in range(6):
            pause_queue(f"q{n}", actor="test")
        context = staff.get("/admin/").context
        [said] = [text for _, text in context["warnings"] if text.startswith("Paused")]
        assert (said.count("q"), said.endswith(" and 2 more.")) == (4, True)
        assert context["overview"]["stats"]["success_tone"] == ""

    def test_names_the_schedules_that_fire_next(self, staff: Client) -> None:
        for minutes in (9, 5, 7):
            make_schedule(due=0, late=timedelta(minutes=-minutes), every=timedelta(hours=1), name=f"in-{minutes}")
        overview = staff.get("/admin/").context["overview"]
        assert [schedule["name"] for schedule in overview["schedules"]["next"]] == ["in-5", "in-7", "in-9"]
        assert overview["schedules"]["overdue"] == 0

    def test_warns_of_schedules_past_their_time(self, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dashboard, "_MOST_OVERDUE", 2)
        for overdue, said in ((2, "2."), (1, "more than 2.")):
            for _ in range(overdue):
                make_schedule(late=timedelta(minutes=5))
            cache.delete("dashboard:overview")
            assert f"Schedules past their time by more than 30 s: {said}" in staff.get("/admin/").content.decode()

    def test_warns_of_schedules_that_are_put_off(self, staff: Client) -> None:
        make_schedule(due=0, put_offs=1)
        assert "Schedules that could not be decided, and are put off: 1." in staff.get("/admin/").content.decode()

    def test_counts_a_settled_minute_once(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.SUCCESS)
        earlier = datetime.now(UTC) - timedelta(minutes=10)
        make_execution(task, started_at=earlier, status=ExecutionStatus.SUCCESS)
        assert staff.get("/admin/").context["overview"]["stats"]["succeeded"] == "1"
        cache.delete("dashboard:overview")
        with CaptureQueriesContext(connection) as queries:
            assert staff.get("/admin/").context["overview"]["stats"]["succeeded"] == "1"
        [read] = [query["sql"] for query in queries if "date_trunc('minute'" in query["sql"]]
        since = datetime.fromisoformat(read.split("finished_at >= '")[1].split("'")[0])
        assert datetime.now(UTC) - since < timedelta(minutes=5)


def _old_id() -> Any:
    from access_app.ids import lowest_id

    return lowest_id(datetime(2020, 1, 1, tzinfo=UTC))


def _shown(client: Client, query: str) -> set[Any]:
    response = client.get(f"{TASKS}?{query}")
    assert response.status_code == 200, response
    return {task.pk for task in response.context["cl"].result_list}


def _reads(client: Client, url: str) -> int:
    cache.clear()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def _patterns(patterns: list[Any], namespace: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _patterns(pattern.url_patterns, inner)
        elif isinstance(pattern, URLPattern) and pattern.name and namespace:
            groups = pattern.pattern.regex.groups
            arguments = ["1"] * (len(pattern.pattern.converters) or groups)
            arguments = ["tasks_app"] if pattern.name == "app_list" else arguments
            yield f"{namespace}{pattern.name}", reverse(f"{namespace}{pattern.name}", args=arguments)
