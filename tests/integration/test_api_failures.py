"""``/failures``: what failed alike, in groups, and the retry of one; the filters of tasks that go with it."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks_app import failure_groups
from tasks_app.failures import FailureGroup, TaskFailure
from tasks_app.fingerprints import shape_of
from tasks_app.models import BulkOperation, Task
from tasks_app.services import retry_task
from tasks_app.sessions import Session
from tests.factories import make_failure, make_key, make_task
from tests.support.api import Api, fields_of, problem_of
from tests.support.environment_names import ROOT
from workers_app.processes.bulk import do_due

PAGE = (ROOT / "docs" / "failures.md").read_text()
UNKNOWN = "0123456789abcdef"
HOUR = 3600.0


def listed(page: Any) -> list[tuple[str, int]]:
    """Message and count of each group."""
    assert page.status_code == 200, page.content
    return [(group["message"], group["count"]) for group in page.json()["content"]]


def ids(page: Any) -> set[str]:
    assert page.status_code == 200, page.content
    return {task["id"] for task in page.json()["content"]}


def before(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat().replace("+00:00", "Z")


@pytest.mark.django_db
class TestFailures:
    def test_show_each_group_with_a_task_of_it(self, api: Api) -> None:
        first, last = make_failure("order 1", ago=90), make_failure("order 2", ago=60)
        FailureGroup.objects.update(message="order 2")
        [group] = api.get("/failures").json()["content"]
        assert group == {
            "fingerprint": first.fingerprint,
            "count": 2,
            "first": first.at.isoformat().replace("+00:00", "Z"),
            "last": last.at.isoformat().replace("+00:00", "Z"),
            "type": "DUMMY",
            "code": "TASK_FAILED",
            "message": "order 2",
            "sample": str(last.task_id),
            "lastHours": [0] * 23 + [2],
        }
        assert api.get(f"/failures/{first.fingerprint}").json() == group

    def test_are_counted_in_the_time_that_is_asked_for(self, api: Api) -> None:
        old, _, new = (make_failure("x", ago=hours * HOUR) for hours in (30, 20, 1))
        assert listed(api.get("/failures")) == [("x", 2)]
        assert listed(api.get(f"/failures?from={before(hours=40)}")) == [("x", 3)]
        assert listed(api.get(f"/failures?from={before(hours=21)}&to={before(hours=19)}")) == [("x", 1)]
        assert listed(api.get(f"/failures?to={before(hours=29)}")) == [("x", 1)]
        assert api.get(f"/failures/{new.fingerprint}?to={before(hours=29)}").json()["sample"] == str(old.task_id)
        none = api.get(f"/failures/{new.fingerprint}?from={before(minutes=1)}").json()
        assert (none["count"], none["first"], none["sample"], sum(none["lastHours"])) == (0, None, None, 2)

    def test_are_filtered_by_queue_type_and_code(self, api: Api) -> None:
        make_failure("x", queue="mails")
        make_failure("x")
        make_failure("y", type="HTTP")
        assert listed(api.get("/failures?queue=mails")) == [("x", 1)]
        assert listed(api.get("/failures?type=HTTP")) == [("y", 1)]
        assert listed(api.get("/failures?code=TASK_FAILED&type=DUMMY")) == [("x", 2)]
        assert listed(api.get("/failures?code=NETWORK")) == []

    def test_are_ordered_and_paged(self, api: Api) -> None:
        for message, count in (("a", 3), ("b", 1), ("c", 2)):
            for number in range(count):
                make_failure(f"<{message}>", ago={"a": 90, "b": 30, "c": 60}[message] + number)
        assert [name for name, _ in listed(api.get("/failures"))] == ["<a>", "<c>", "<b>"]
        assert [name for name, _ in listed(api.get("/failures?sort=count"))] == ["<b>", "<c>", "<a>"]
        assert [name for name, _ in listed(api.get("/failures?sort=last,desc"))] == ["<b>", "<c>", "<a>"]
        page = api.get("/failures?size=2&page=1")
        assert listed(page) == [("<b>", 1)]
        assert (page.json()["totalElements"], page.json()["totalPages"], page.json()["last"]) == (3, 2, True)
        behind = api.get("/failures?size=2&page=9").json()
        assert (behind["content"], behind["totalElements"]) == ([], 3)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("from=yesterday", "from"),
            ("from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z", "to"),
            ("to=0001-01-01T00:00:00Z", "to"),
            ("queue=a b", "queue"),
            ("type=NONE", "type"),
            ("code=", "code"),
            ("sort=message", "sort"),
            ("cursor=", "cursor"),
            ("size=0", "size"),
        ],
    )
    def test_refuse_what_cannot_be_kept(self, api: Api, query: str, field: str) -> None:
        assert fields_of(api.get(f"/failures?{query}")) == {field}

    def test_that_are_none_are_not_found(self, api: Api) -> None:
        for fingerprint in (UNKNOWN, "x", UNKNOWN.upper()):
            problem_of(api.get(f"/failures/{fingerprint}"), 404)
            problem_of(api.post(f"/failures/{fingerprint}/retry", {}), 404)

    def test_that_take_too_long_to_count_say_what_to_do(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failure_groups, "LONGEST_COUNT", timedelta(milliseconds=5))
        monkeypatch.setattr(failure_groups, "statement", lambda name: "SELECT pg_sleep(5)")
        assert fields_of(api.get("/failures")) == {"from"}


@pytest.mark.django_db
class TestFilters:
    def test_by_a_failure_find_tasks_that_have_it_behind_them_and_nothing_since(self, api: Api) -> None:
        failed, retrying = make_failure("x"), make_failure("x", task=make_task(attempt=1, retry_count=1))
        make_failure("y")
        started = make_failure("x", task=make_task(attempt=1))
        Task.objects.filter(pk=started.task_id).update(attempt=2)
        expired = make_failure("x")
        Task.objects.filter(pk=expired.task_id).update(finished_at=datetime.now(UTC), end_reason="EXPIRED")
        found = api.get(f"/tasks?failure={failed.fingerprint}")
        assert ids(found) == {str(failed.task_id), str(retrying.task_id)}
        assert ids(api.get(f"/tasks?failure={failed.fingerprint}&status=FAILED")) == {str(failed.task_id)}
        assert ids(api.get(f"/tasks?failure={UNKNOWN}")) == set()
        assert fields_of(api.get("/tasks?failure=x")) == {"failure"}

    def test_find_what_waits_for_another_attempt(self, api: Api) -> None:
        again = make_task(attempt=1, retry_count=1)
        other = [make_task(), make_task(status="FAILED", attempt=2, retry_count=1)]
        assert ids(api.get("/tasks?retrying=true")) == {str(again.pk)}
        assert ids(api.get("/tasks?retrying=false")) == {str(each.pk) for each in other}
        assert fields_of(api.get("/tasks?retrying=yes")) == {"retrying"}

    def test_by_the_time_of_the_end(self, api: Api) -> None:
        early, late = (make_failure("x", ago=ago) for ago in (90, 30))
        assert ids(api.get(f"/tasks?endedAfter={before(seconds=60)}")) == {str(late.task_id)}
        assert ids(api.get(f"/tasks?endedBefore={before(seconds=60)}")) == {str(early.task_id)}


class TestRetry:
    @pytest.fixture
    def caller(self, session: Session) -> Api:
        """One whose requests are committed."""
        return Api(make_key())

    def test_runs_again_what_failed_so_in_that_time_and_is_failed_by_it(self, caller: Api, session: Session) -> None:
        wanted = [make_failure("order 1"), make_failure("order 2")]
        others = [
            make_failure("order 3", ago=2 * HOUR),
            make_failure("no such order"),
            make_failure("x", queue="mails"),
            make_failure("order 5", ago=-60),
        ]
        cancelled = make_failure("order 6", status="CANCELLED")
        make_failure("order 7", task=make_task(attempt=1, retry_count=1))
        done = make_failure("order 4")
        retry_task(done.task_id, actor="test")
        asked = {"from": before(hours=1), "reason": "fixed", "ratePerSecond": 50}
        begun = caller.post(f"/failures/{wanted[0].fingerprint}/retry", asked)
        assert begun.status_code == 202, begun.content
        operation = begun.json()
        assert (operation["action"], operation["count"]) == ("retry", 2)
        assert (operation["reason"], operation["ratePerSecond"]) == ("fixed", 50)
        assert caller.get(begun["Location"]).json()["id"] == operation["id"]
        read = operation["filter"]
        again = "&".join(f"{name}={value}" for name, value in {**read, "status": "FAILED"}.items())
        assert ids(caller.get(f"/tasks?{again}")) == {str(each.task_id) for each in wanted}
        do_due(session)
        retried = Task.objects.filter(status="PENDING", retry_count=0).values_list("pk", flat=True)
        assert set(retried) == {*(each.task_id for each in wanted), done.task_id}
        assert Task.objects.filter(pk__in=[each.task_id for each in others], status="FAILED").count() == len(others)
        assert Task.objects.get(pk=cancelled.task_id).status == "CANCELLED"
        assert BulkOperation.objects.get().touched == 2

    def test_leaves_alone_what_has_failed_otherwise_since_the_dry_run(self, caller: Api, session: Session) -> None:
        """Retried by hand, and FAILED again, by another failure, before its piece is done."""
        failure = make_failure("x")
        caller.post(f"/failures/{failure.fingerprint}/retry")
        Task.objects.filter(pk=failure.task_id).update(attempt=2)
        do_due(session)
        assert Task.objects.get().status == "FAILED"
        assert (BulkOperation.objects.get().count, BulkOperation.objects.get().touched) == (1, 0)

    def test_is_begun_once_with_an_idempotency_key(self, caller: Api) -> None:
        path = f"/failures/{make_failure('x').fingerprint}/retry"
        begun = caller.post(path, {"reason": "fixed"}, Idempotency_Key="k")
        again = caller.post(path, {"reason": "fixed"}, Idempotency_Key="k")
        assert (begun.status_code, again.status_code, again["Idempotent-Replayed"]) == (202, 200, "true")
        assert again.json()["id"] == begun.json()["id"]
        problem_of(caller.post(path, {}, Idempotency_Key="k"), 409)
        assert BulkOperation.objects.count() == 1

    def test_can_be_of_one_queue(self, caller: Api, session: Session) -> None:
        failure, other = make_failure("x", queue="mails"), make_failure("x")
        asked = {"queue": "mails", "to": before(seconds=-60)}
        assert caller.post(f"/failures/{failure.fingerprint}/retry", asked).json()["count"] == 1
        do_due(session)
        assert Task.objects.get(pk=other.task_id).status == "FAILED"

    def test_needs_what_a_retry_of_each_needs(self, committed_db: None) -> None:
        failure = make_failure("x", type="SHELL", payload={"command": "true"})
        path = f"/failures/{failure.fingerprint}/retry"
        problem_of(Api(make_key("tasks:read", "tasks:write")).post(path, {}), 403)
        problem_of(Api(make_key("tasks:bulk")).post(path, {}), 403)
        assert Api(make_key("tasks:bulk", "tasks:shell")).post(path, {}).status_code == 202

    def test_names_every_bad_field(self, caller: Api) -> None:
        failure = make_failure("x")
        asked = {"from": "today", "queue": "a b", "ratePerSecond": 0, "reason": "a\nb", "dryRun": True}
        refused = caller.post(f"/failures/{failure.fingerprint}/retry", asked)
        assert fields_of(refused) == {"from", "queue", "ratePerSecond", "reason", "dryRun"}
        assert not BulkOperation.objects.exists()


@pytest.mark.django_db
class TestDocument:
    def test_has_requests_that_work_as_they_stand(self, api: Api) -> None:
        failure, statuses = make_failure("x"), []
        for command in re.findall(r"^    curl (?:.*\n(?:     +.*\n)*)", PAGE, flags=re.MULTILINE):
            words = shlex.split(command.replace("$FINGERPRINT", failure.fingerprint).replace("\\\n", " "))
            [url] = [word for word in words if word.startswith("https://")]
            method, body = ("POST", words[words.index("-d") + 1].encode()) if "-d" in words else ("GET", None)
            statuses.append(api.send(method, url.removeprefix("https://tasks.example"), body).status_code)
        assert statuses == [200, 202, 200, 200]

    def test_says_what_is_alike(self) -> None:
        section = PAGE.partition("## What is alike")[2].partition("##")[0]
        rows = re.findall(r"^\| `(.*)`, `(.*)` \| (?:`(.*)`, `(.*)`|.*) \|$", section, flags=re.MULTILINE)
        assert len(rows) == 4
        for one, other, this, that in rows:
            assert shape_of(one) == shape_of(other)
            assert not this or shape_of(this) != shape_of(that)


@pytest.mark.django_db
class TestCountGroups:
    def test_goes_by_the_failures_of_the_window_alone(self) -> None:
        """Not by what the group has seen before or since."""
        first, _, last = (make_failure("x", ago=ago) for ago in (300, 200, 100))
        window = failure_groups.Window(first.at, last.at)
        [row] = failure_groups.count_groups(failure_groups.Wanted(window))
        assert (row[0], row[5], row[6]) == (1, 2, first.at)


@pytest.mark.django_db
class TestCountByHour:
    def test_leaves_out_what_is_a_day_old_or_to_come(self) -> None:
        for ago in (60, 2.5 * HOUR, 23.9 * HOUR, 24.1 * HOUR, -60):
            fingerprint = make_failure("x", ago=ago).fingerprint
        assert sorted(failure_groups.count_by_hour([fingerprint])) == [(fingerprint, n, 1) for n in (0, 2, 23)]
        assert failure_groups.hours_of([fingerprint])[fingerprint] == [1, *[0] * 20, 1, 0, 1]
        assert TaskFailure.objects.count() == 5
