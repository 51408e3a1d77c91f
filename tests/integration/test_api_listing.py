"""``GET /tasks``: filters, order, numbered pages and keyset pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from django.core import signing
from django.db import connection
from django.http import QueryDict

from access_app.http import pagination
from access_app.ids import created_at
from tasks_app.api.filters import TaskFilters, hint
from tasks_app.models import Task
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_execution, make_task
from tests.support.api import Api, fields_of

NOON = datetime(2100, 1, 1, 12, tzinfo=UTC)


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["content"]]


def found(api: Api, **parameters: Any) -> set[str]:
    return set(ids(api.get(f"/tasks?{urlencode(parameters, doseq=True)}")))


class TestItems:
    def test_leave_out_payload_and_result_and_show_the_error(self, api: Api) -> None:
        task = make_task(status=TaskStatus.FAILED, attempt=1, payload={"secret": 1})
        make_execution(task, result={"x": 1}, error_code="EXIT_CODE", error_message="m")
        [item] = api.get("/tasks").json()["content"]
        assert not item.keys() & {"payload", "result"}
        assert item["error"] == {"code": "EXIT_CODE", "message": "m"}

    def test_cost_the_same_number_of_queries_however_many_there_are(
        self, api: Api, django_assert_num_queries: Any
    ) -> None:
        for _ in range(5):
            make_execution(make_task(status=TaskStatus.SUCCESS, attempt=1))
        api.get("/tasks")  # notes when the key was last used, once a minute
        with django_assert_num_queries(3):  # the key, the page, the latest attempts
            assert len(ids(api.get("/tasks"))) == 5


class TestFilters:
    def test_status_may_be_repeated(self, api: Api) -> None:
        tasks = {status: str(make_task(status=status).pk) for status in TaskStatus}
        assert found(api, status="PENDING") == {tasks["PENDING"]}
        assert found(api, status=["SUCCESS", "FAILED"]) == {tasks["SUCCESS"], tasks["FAILED"]}
        assert found(api) == set(tasks.values())

    @pytest.mark.parametrize(
        ("parameter", "column", "value"),
        [
            ("type", "type", "HTTP"),
            ("queue", "queue", "mail:1"),
            ("correlationId", "correlation_id", "order-1"),
            ("workerId", "worker_id", "5f0c7f4e-0d0a-4a52-9d0b-6a7f0f6d1c11"),
        ],
    )
    def test_select_equal_values(self, api: Api, parameter: str, column: str, value: str) -> None:
        wanted = make_task(status=TaskStatus.SUCCESS, **{column: value})
        make_task()
        assert found(api, **{parameter: value}) == {str(wanted.pk)}

    def test_after_includes_and_before_excludes_the_instant(self, api: Api) -> None:
        task = str(make_task(schedule_at=NOON).pk)
        exact, later = "2100-01-01T13:00:00+01:00", "2100-01-01T12:00:00.000001Z"
        assert found(api, scheduledAfter=exact) == {task}
        assert found(api, scheduledAfter=later) == set()
        assert found(api, scheduledBefore=exact) == set()
        assert found(api, scheduledBefore=later) == {task}

    def test_creation_times_compare_as_they_are_shown(self, api: Api) -> None:
        task = make_task()
        shown = api.get("/tasks").json()["content"][0]["createdAt"]
        beyond = (created_at(task.pk) + timedelta(microseconds=1)).isoformat()
        assert found(api, createdAfter=shown) == {str(task.pk)}
        assert found(api, createdBefore=shown) == set()
        assert found(api, createdAfter=beyond) == set()
        assert found(api, createdBefore=beyond) == {str(task.pk)}

    @pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"])
    def test_take_every_instant_there_is(self, api: Api, instant: str) -> None:
        make_task()
        names = ("createdAfter", "createdBefore", "scheduledAfter", "scheduledBefore")
        assert sum(len(found(api, **{name: instant})) for name in names) == 2

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("nope=1", "nope"),
            ("Status=PENDING", "Status"),
            ("status=", "status"),
            ("status=pending", "status"),
            ("status=PENDING&status=DONE", "status"),
            ("status=PENDING,FAILED", "status"),
            ("type=NOPE", "type"),
            ("type=HTTP&type=SHELL", "type"),
            ("queue=", "queue"),
            ("queue=a%20b", "queue"),
            ("queue=a%0A", "queue"),
            ("queue=%ff", "queue"),
            ("workerId=1", "workerId"),
            ("workerId=%7B019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071%7D", "workerId"),
            ("correlationId=a%20b", "correlationId"),
            ("createdAfter=2030-01-01", "createdAfter"),
            ("createdAfter=2030-01-01T00:00:00", "createdAfter"),
            ("createdBefore=now", "createdBefore"),
            ("scheduledAfter=1893456000", "scheduledAfter"),
            ("scheduledBefore=2030-13-01T00:00:00Z", "scheduledBefore"),
            ("page=-1", "page"),
            ("page=", "page"),
            ("page=1.0", "page"),
            ("page=%D9%A1", "page"),
            ("page=100000001", "page"),
            ("page=999999999999999999999", "page"),
            ("page=1&page=2", "page"),
            ("size=0", "size"),
            ("size=201", "size"),
            ("size=x", "size"),
            ("sort=", "sort"),
            ("sort=id", "sort"),
            ("sort=createdAt,up", "sort"),
            ("sort=createdAt,", "sort"),
            ("sort=createdAt,desc,asc", "sort"),
            ("sort=payload,asc", "sort"),
            ("cursor=x", "cursor"),
            ("cursor=&page=0", "cursor"),
            ("cursor=%F0%9F%92%A9", "cursor"),
        ],
    )
    def test_refuse_what_they_cannot_mean(self, api: Api, query: str, field: str) -> None:
        assert fields_of(api.get(f"/tasks?{query}")) == {field}

    def test_say_how_to_write_a_plus_in_a_url(self, api: Api) -> None:
        [error] = api.get("/tasks?createdAfter=2030-01-01T00:00:00+01:00").json()["errors"]
        assert "%2B" in error["message"]

    @pytest.mark.parametrize("query", ["status=%00", "%00=1", "queue=\0", "correlationId=a%00b"])
    def test_refuse_nul(self, api: Api, query: str) -> None:
        assert api.get(f"/tasks?{query}").status_code == 400

    def test_refuse_thousands_of_parameters(self, api: Api) -> None:
        assert api.get("/tasks?" + "status=PENDING&" * 2000).status_code == 400


class TestNumberedPages:
    def test_are_sliced_newest_first(self, api: Api) -> None:
        tasks = [str(make_task().pk) for _ in range(5)][::-1]
        first, last, beyond = (api.get(f"/tasks?size=3&page={page}") for page in range(3))
        assert ids(first) + ids(last) == tasks
        assert {name: value for name, value in first.json().items() if name != "content"} == {
            "page": 0,
            "size": 3,
            "totalElements": 5,
            "totalPages": 2,
            "first": True,
            "last": False,
        }
        assert (last.json()["first"], last.json()["last"], last.json()["totalElements"]) == (False, True, 5)
        assert (ids(beyond), beyond.json()["last"], beyond.json()["totalElements"]) == ([], True, 5)

    def test_an_empty_listing_has_no_pages(self, api: Api) -> None:
        page = api.get("/tasks").json()
        assert (page["totalElements"], page["totalPages"], page["first"], page["last"]) == (0, 0, True, True)

    def test_a_page_that_is_exactly_full_is_the_last(self, api: Api) -> None:
        [make_task() for _ in range(4)]
        page = api.get("/tasks?size=2&page=1").json()
        assert (page["last"], page["totalElements"], page["totalPages"]) == (True, 4, 2)

    @pytest.mark.parametrize("filters", ["", "&status=PENDING"])
    def test_totals_beyond_what_is_counted_are_estimates(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, filters: str
    ) -> None:
        monkeypatch.setattr(pagination, "COUNTED", 5)
        [make_task() for _ in range(9)]
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE tasks")
        page = api.get(f"/tasks?size=2{filters}").json()
        assert page["totalIsEstimate"] is True
        assert page["totalElements"] >= 6
        last = api.get(f"/tasks?size=2&page=4{filters}").json()
        assert (last["totalElements"], last["last"], "totalIsEstimate" in last) == (9, True, False)

    def test_a_far_page_is_empty(self, api: Api) -> None:
        make_task()
        assert ids(api.get("/tasks?page=100000000&size=200")) == []


class TestOrder:
    @pytest.mark.parametrize("name", ["createdAt", "scheduleAt", "priority"])
    def test_ties_are_broken_by_id_in_the_same_direction(self, api: Api, name: str) -> None:
        for number in range(12):
            make_task(priority=number % 3, schedule_at=NOON + timedelta(hours=number % 2))
        column = {"createdAt": "id", "scheduleAt": "schedule_at", "priority": "priority"}[name]
        rising = [str(pk) for pk in Task.objects.order_by(column, "id").values_list("pk", flat=True)]
        assert ids(api.get(f"/tasks?sort={name},asc")) == rising
        assert ids(api.get(f"/tasks?sort={name}")) == rising
        assert ids(api.get(f"/tasks?sort={name},desc")) == rising[::-1]


class TestKeysetPages:
    @pytest.mark.parametrize("sort", ["createdAt,asc", "createdAt,desc", "scheduleAt,asc", "priority,desc"])
    def test_lead_through_all_tasks_and_back(self, api: Api, sort: str) -> None:
        for number in range(11):
            make_task(priority=number % 3, schedule_at=NOON + timedelta(microseconds=number % 2))
        everything = ids(api.get(f"/tasks?sort={sort}"))

        def walk(cursor: str | None, direction: str) -> list[dict[str, Any]]:
            pages = []
            while cursor is not None:
                pages.append(api.get(f"/tasks?sort={sort}&size=3&cursor={quote(cursor)}").json())
                cursor = pages[-1][direction]
            return pages

        def shown(pages: list[dict[str, Any]]) -> list[str]:
            return [item["id"] for page in pages for item in page["content"]]

        forward = walk("", "next")
        assert [len(page["content"]) for page in forward] == [3, 3, 3, 2]
        assert shown(forward) == everything
        backward = walk(forward[-1]["previous"], "previous")
        assert [len(page["content"]) for page in backward] == [3, 3, 3]
        assert shown(backward[::-1]) == everything[:9]

    def test_the_first_page_has_no_previous_and_a_full_last_one_no_next(self, api: Api) -> None:
        [make_task() for _ in range(3)]
        page = api.get("/tasks?cursor=&size=3").json()
        assert (page["next"], page["previous"], len(page["content"])) == (None, None, 3)
        assert page.keys() == {"content", "next", "previous"}

    def test_miss_nothing_and_repeat_nothing_while_tasks_come_and_go(self, api: Api) -> None:
        tasks = [make_task() for _ in range(6)]
        first = api.get("/tasks?cursor=&size=2").json()
        make_task()  # newer: belongs before the first page
        Task.objects.filter(pk=tasks[4].pk).delete()  # the task the cursor was made at
        rest = ids(api.get(f"/tasks?size=200&cursor={quote(first['next'])}"))
        assert rest == [str(task.pk) for task in tasks[3::-1]]

    def test_a_way_back_into_what_was_deleted_ends_at_the_first_page(self, api: Api) -> None:
        old, new = make_task(), make_task()
        second = api.get(f"/tasks?size=1&cursor={quote(api.get('/tasks?size=1&cursor=').json()['next'])}").json()
        Task.objects.filter(pk=new.pk).delete()
        back = api.get(f"/tasks?size=1&cursor={quote(second['previous'])}").json()
        assert (back["content"], back["previous"]) == ([], None)
        assert ids(api.get(f"/tasks?size=1&cursor={quote(back['next'])}")) == [str(old.pk)]

    def test_a_cursor_that_was_changed_is_refused(self, api: Api) -> None:
        [make_task() for _ in range(3)]
        cursor = api.get("/tasks?cursor=&size=1").json()["next"]
        for position in range(0, len(cursor), 5):
            wrong = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
            response = api.get(f"/tasks?size=1&cursor={quote(wrong)}")
            assert fields_of(response) == {"cursor"}

    def test_a_cursor_belongs_to_its_filters_and_sort(self, api: Api) -> None:
        [make_task() for _ in range(3)]
        cursor = quote(api.get("/tasks?cursor=&size=1&queue=default").json()["next"])
        assert fields_of(api.get(f"/tasks?size=1&cursor={cursor}")) == {"cursor"}
        assert fields_of(api.get(f"/tasks?queue=default&sort=priority&cursor={cursor}")) == {"cursor"}
        assert len(ids(api.get(f"/tasks?size=200&queue=default&cursor={cursor}"))) == 2

    def test_a_cursor_outlives_an_upgrade(self, api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """This one was handed out on Django 5.2, whose defaults for signatures later ones change."""
        settings.SECRET_KEY = "a secret of 2026"
        signer = signing.Signer(key=settings.SECRET_KEY, sep=".", salt="tasks_app.api.cursor")
        monkeypatch.setattr(pagination, "_SIGNER", signer)
        kept = make_task(id=UUID("01a22e36-0000-7000-8000-000000000001"))
        make_task(id=UUID("01a22e36-0000-7000-8000-000000000002"))
        cursor = (
            "W3RydWUsbnVsbCwiMDFhMjJlMzYtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAyIiwiM2VlMGY0YjMyM2NkMmQzYSJd"
            ".t6kYxAsrRPelwGFlvw0Rmq8Ck_yOOwrK52pjJCl5E3k"
        )
        assert ids(api.get(f"/tasks?queue=default&cursor={cursor}")) == [str(kept.pk)]


class TestIndexHints:
    """What is added for the sake of partial indexes must never change an answer."""

    @pytest.mark.parametrize(
        "statuses", [[], *([status] for status in TaskStatus), ["PENDING", "FAILED"], ["RUNNING", "PENDING"]]
    )
    @pytest.mark.parametrize("correlated", [False, True])
    def test_select_every_kind_of_row(self, api: Api, statuses: list[str], correlated: bool) -> None:
        for status in TaskStatus:
            make_task(status=status, correlation_id="c")
        make_task(crash_count=1, correlation_id="c")
        make_task(concurrency_key="k", gate=Gate.KEY, correlation_id="c")
        make_task(concurrency_key="k", crash_count=2, correlation_id="c")
        wanted = Task.objects.filter(status__in=statuses or list(TaskStatus)).values_list("pk", flat=True)
        parameters = {"status": statuses} | ({"correlationId": "c"} if correlated else {})
        assert found(api, **parameters) == {str(pk) for pk in wanted}

    @pytest.mark.parametrize("status", list(TaskStatus))
    def test_find_a_task_by_its_own_id_when_nobody_sent_another(self, api: Api, status: TaskStatus) -> None:
        task = make_task(status=status)
        Task.objects.filter(pk=task.pk).update(correlation_id=None)
        make_task(status=status)
        assert found(api, correlationId=task.pk.hex) == {str(task.pk)}
        assert found(api, correlationId=task.pk.hex, status=status) == {str(task.pk)}
        assert found(api, correlationId=task.pk.hex.upper()) == set()

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            ("status=FAILED", "tasks_unsuccessful"),
            ("correlationId=c7", "tasks_ended_correlation"),
            ("correlationId=01a20000000070008000000000000007", "tasks_pkey"),
            ("scheduleId=00000000-0000-4000-8000-000000000007", "tasks_schedule"),
        ],
    )
    def test_let_the_planner_use_the_index(self, db: None, query: str, index: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tasks (id, created_at, schedule_at, run_at, finished_at, max_retries, timeout_ms, type,"
                " status, unsuccessful, correlation_id, created_by, schedule_id)"
                " SELECT gen_random_uuid(), now(), now(), now(), now(), 0, 1, 'DUMMY',"
                " CASE WHEN i % 100 = 0 THEN 'FAILED' ELSE 'SUCCESS' END, i % 100 = 0, 'c' || i, 't',"
                " ('00000000-0000-4000-8000-' || lpad((i % 500)::text, 12, '0'))::uuid"
                " FROM generate_series(1, 5000) i"
            )
            cursor.execute("ANALYZE tasks")
        listing = TaskFilters(QueryDict(query), Task.objects.all()).listing()
        tasks = listing.rows.filter(hint(QueryDict(query))).order_by(*listing.sort.order())
        assert index in tasks.explain()
