"""Health over HTTP: what each route returns in staged states of the system, to whom, and with the database away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.models.functions import Now
from django.utils import timezone

from access_app.database_faults import DatabaseAway
from access_app.sql import statement
from flow_app import freezes
from flow_app.freezes import NewFreeze
from monitoring_app import health, selectors, views
from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, Gate, TaskStatus
from tests.factories import make_execution, make_key, make_task
from tests.support.api import Api, fields_of, problem_of
from workers_app.models import Scheduler, Worker
from workers_app.recovery import RecoveryReport

SILENT = settings.SCHEDULER.heartbeat_timeout + timedelta(seconds=5)
GET_ROUTES = ["/health", "/health/live", "/health/ready", "/health/workers", "/health/metrics", "/metrics"]
OPEN_ROUTES = ["/health/live", "/health/ready"]
KEYED_ROUTES = sorted(set(GET_ROUTES) - set(OPEN_ROUTES))
DOWN = {"status": "DOWN"}


def add_worker(*, silent: timedelta = timedelta(), gone: timedelta = timedelta(), **columns: Any) -> UUID:
    """A worker whose last beat is ``silent`` ago and whose state changed ``gone`` ago."""
    defaults = {"worker_id": uuid4(), "pid": 1, "slots": 4, "host": "h", "name": "w"}
    worker = Worker.objects.create(
        **defaults | columns, last_heartbeat_at=Now() - silent, state_changed_at=Now() - gone
    )
    return UUID(str(worker.pk))


def add_scheduler(*, silent: timedelta = timedelta(), **columns: Any) -> None:
    Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host="h", last_heartbeat_at=Now() - silent, **columns)


@pytest.fixture
def database_down(monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[None]:
    """The database's address leads to a port on which nobody listens."""
    with socket.socket() as closed, django_db_blocker.unblock():
        closed.bind(("127.0.0.1", 0))
        address = {"HOST": "127.0.0.1", "PORT": closed.getsockname()[1]}
        real = connections["default"]
        real.close()
        monkeypatch.setattr(real, "settings_dict", real.settings_dict | address)
        yield
        real.close()


class TestLive:
    def test_answers_without_a_key_and_without_the_database(self) -> None:
        # No database fixture: pytest-django would fail any query.
        response = Api(None).get("/health/live")
        assert (response.status_code, response.json()) == (200, {"status": "UP"})
        assert response["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text", "image/png"])
    def test_does_not_care_what_is_accepted(self, accept: str) -> None:
        assert Api(None).get("/health/live", Accept=accept).status_code == 200


class TestReady:
    def test_tells_nobody_why(self, anonymous: Api) -> None:
        response = anonymous.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "UP"})

    def test_ignores_a_bad_key(self, db: None) -> None:
        assert Api("ts_unknown").get("/health/ready").json() == {"status": "UP"}

    def test_shows_its_checks_to_a_caller_with_a_key(self, api: Api) -> None:
        body = api.get("/health/ready").json()
        assert body["status"] == "UP"
        assert {name: check["status"] for name, check in body["checks"].items()} == {
            "database": "UP",
            "migrations": "UP",
        }

    def test_is_down_until_all_migrations_are_applied(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "_migrated", False)
        [newest] = MigrationLoader(connection).graph.leaf_nodes("tasks_app")
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = %s AND name = %s", newest)
        api.allow_5xx = True
        response = api.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["checks"]["migrations"]["pending"] == [".".join(newest)]
        assert api.get("/health").status_code == 503

    def test_looks_at_migrations_once(self, api: Api, django_assert_num_queries: Any) -> None:
        api.get("/health/ready")
        with django_assert_num_queries(2):  # the key, and the round trip
            api.get("/health/ready")


STATES: list[tuple[str, Callable[[], Any], dict[str, str]]] = [
    ("nobody", lambda: None, {"workers": "DEGRADED", "schedulers": "DEGRADED"}),
    ("all well", lambda: (add_worker(), add_scheduler()), {"workers": "UP", "schedulers": "UP"}),
    ("no worker", add_scheduler, {"workers": "DEGRADED", "schedulers": "UP"}),
    ("no scheduler", add_worker, {"workers": "UP", "schedulers": "DEGRADED"}),
    ("draining", lambda: (add_worker(state="DRAINING"), add_scheduler()), {"workers": "UP", "schedulers": "UP"}),
    ("silent", lambda: (add_worker(silent=SILENT), add_scheduler()), {"workers": "DEGRADED", "schedulers": "UP"}),
    ("dead", lambda: (add_worker(state="DEAD"), add_scheduler()), {"workers": "DEGRADED", "schedulers": "UP"}),
    (
        "schedulers gone",
        lambda: (add_worker(), add_scheduler(silent=SILENT), add_scheduler(stopped_at=timezone.now())),
        {"workers": "UP", "schedulers": "DEGRADED"},
    ),
]


class TestHealth:
    @pytest.mark.parametrize(("stage", "expected"), [state[1:] for state in STATES], ids=[state[0] for state in STATES])
    def test_is_as_bad_as_its_worst_check(self, api: Api, stage: Callable[[], Any], expected: dict[str, str]) -> None:
        stage()
        response = api.get("/health")
        body = response.json()
        assert response.status_code == 200
        assert {name: body["checks"][name]["status"] for name in expected} == expected
        assert body["status"] == ("UP" if set(expected.values()) == {"UP"} else "DEGRADED")

    def test_shows_figures(self, api: Api) -> None:
        worker = add_worker(slots=8)
        add_worker(state="STOPPED", slots=100)
        make_task(run_at=timezone.now() - timedelta(seconds=90))
        make_task(run_at=timezone.now() + timedelta(days=1))
        make_task(concurrency_key="k", gate=Gate.KEY)
        make_task(crash_count=1)
        make_task(status=TaskStatus.SCHEDULED, worker_id=worker)
        make_task(status=TaskStatus.RUNNING, worker_id=worker)
        make_task(status=TaskStatus.SUCCESS, worker_id=worker)
        body = api.get("/health").json()
        checks = body["checks"]
        assert checks["queue"]["depth"] == {"PENDING": 4, "SCHEDULED": 1, "RUNNING": 1}
        assert checks["queue"]["depthIsEstimate"] is False
        assert checks["queue"]["oldestDueAgeSeconds"] == pytest.approx(90, abs=5)
        assert checks["workers"] == {"status": "UP", "live": 1, "slots": 8, "busy": 1}
        assert 0 < checks["database"]["connectionsUsed"] <= checks["database"]["connectionsAllowed"]
        assert checks["database"]["latencyMs"] >= 0
        assert checks["database"]["serverVersion"][:2].isdigit()
        assert body["version"] == settings.VERSION
        assert body["uptimeSeconds"] > 0

    def test_knows_no_oldest_age_when_nothing_is_due(self, api: Api) -> None:
        make_task(run_at=timezone.now() + timedelta(days=1))
        assert api.get("/health").json()["checks"]["queue"]["oldestDueAgeSeconds"] is None

    def test_estimates_a_long_queue(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "MOST_COUNTED", 3)
        for _ in range(5):
            make_task()
        queue = api.get("/health").json()["checks"]["queue"]
        assert queue["depthIsEstimate"] is True
        assert queue["depth"]["PENDING"] >= 3

    def test_is_degraded_when_the_survey_takes_too_long(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "statement", lambda *_: "SELECT pg_sleep(30)")
        monkeypatch.setattr(selectors, "SURVEY_TIMEOUT", timedelta(milliseconds=20))
        response = api.get("/health")
        assert (response.status_code, response.json()["status"]) == (200, "DEGRADED")
        assert response.json()["checks"]["database"]["status"] == "UP"

    def test_asks_a_fixed_number_of_questions(self, api: Api, django_assert_max_num_queries: Any) -> None:
        api.get("/health")
        for _ in range(20):
            add_worker()
            make_task(queue=uuid4().hex)
        with django_assert_max_num_queries(8):
            api.get("/health")


class TestWorkers:
    def test_shows_who_is_live_or_recently_gone_with_their_load(self, api: Api) -> None:
        busy = add_worker(name="busy", queues=["a"], labels={"k": "v"}, silent=timedelta(seconds=3))
        add_worker(name="lost", state="DEAD", gone=timedelta(minutes=59))
        add_worker(name="forgotten", state="STOPPED", gone=timedelta(minutes=61))
        add_worker(name="silent", silent=SILENT)
        make_task(status=TaskStatus.SCHEDULED, worker_id=busy)
        for _ in range(2):
            make_task(status=TaskStatus.RUNNING, worker_id=busy)
        make_task(status=TaskStatus.FAILED, worker_id=busy)
        content = {worker["name"]: worker for worker in api.get("/health/workers").json()["content"]}
        assert content.keys() == {"busy", "lost", "silent"}
        worker = content["busy"]
        assert (worker["workerId"], worker["state"], worker["queues"]) == (str(busy), "ACTIVE", ["a"])
        assert (worker["assigned"], worker["running"], worker["slots"], worker["prefetch"]) == (1, 2, 4, 0)
        assert worker["heartbeatAgeSeconds"] == pytest.approx(3, abs=2)
        assert content["silent"]["heartbeatAgeSeconds"] > settings.SCHEDULER.heartbeat_timeout.total_seconds()
        assert content["lost"]["state"] == "DEAD"

    def test_asks_a_fixed_number_of_questions(self, api: Api, django_assert_max_num_queries: Any) -> None:
        for _ in range(20):
            make_task(status=TaskStatus.RUNNING, worker_id=add_worker())
        api.get("/health/workers")  # the first use of a key is noted
        with django_assert_max_num_queries(6):
            assert len(api.get("/health/workers").json()["content"]) == 20


def add_history() -> None:
    """Six attempts within the last hour, one a day and a half ago."""
    now = timezone.now() - timedelta(minutes=1)
    task = make_task(type="HTTP", run_at=now - timedelta(seconds=2))
    ends = [
        (ExecutionStatus.FAILED, TaskStatus.PENDING, 1.0),
        (ExecutionStatus.TIMED_OUT, TaskStatus.PENDING, 2.0),
        (ExecutionStatus.LOST, TaskStatus.PENDING, 500.0),
        (ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, 3.0),
    ]
    for attempt, (status, task_status, seconds) in enumerate(ends, start=1):
        make_execution(
            task,
            attempt=attempt,
            status=status,
            task_status=task_status,
            started_at=now - timedelta(seconds=seconds),
            due_at=now - timedelta(seconds=seconds + 2),
            finished_at=now,
        )
    other = make_task(type="DUMMY", run_at=now)
    for attempt, ago in enumerate([timedelta(), timedelta(), timedelta(hours=36)], start=1):
        make_execution(
            other, attempt=attempt, status=ExecutionStatus.CANCELLED, task_status=TaskStatus.CANCELLED,
            due_at=now - ago, started_at=now - ago, finished_at=now - ago,
        )  # fmt: skip


class TestMetrics:
    def test_sums_up_the_last_hours(self, api: Api) -> None:
        add_history()
        body = api.get("/health/metrics").json()
        assert body["hours"] == 24
        assert body["attempts"] == 6
        assert body["byOutcome"] == {
            "SUCCESS": 1, "FAILED": 1, "TIMED_OUT": 1, "CANCELLED": 2, "LOST": 1, "RELEASED": 0,
        }  # fmt: skip
        assert body["successRate"] == 0.25
        assert body["retries"] == 2
        assert body["sampled"] is False
        assert body["byType"].keys() == {"HTTP", "DUMMY"}
        http, dummy = body["byType"]["HTTP"], body["byType"]["DUMMY"]
        assert http["durationMs"] == {"p50": 2000, "p95": 2900, "p99": 2980}  # the lost attempt's end says nothing
        assert http["startDelayMs"] == {"p50": 2000, "p95": 2000, "p99": 2000}
        assert (dummy["attempts"], dummy["successRate"]) == (2, None)
        hours = body["throughputByHour"]
        assert len(hours) == 25 and sum(hour["attempts"] for hour in hours) == 6
        assert sum(hour["succeeded"] for hour in hours) == 1
        assert api.get("/health/metrics?hours=48").json()["attempts"] == 7

    def test_returns_an_empty_history(self, api: Api) -> None:
        body = api.get("/health/metrics?hours=720").json()
        assert (body["attempts"], body["successRate"], body["durationMs"]) == (0, None, None)
        assert len(body["throughputByHour"]) == 721

    @pytest.mark.parametrize("hours", ["0", "721", "-1", "1.5", "x", "", "٣", "99999999999999999999"])
    def test_refuses_other_windows(self, api: Api, hours: str) -> None:
        assert fields_of(api.get(f"/health/metrics?hours={hours}")) == {"hours"}

    def test_refuses_unknown_parameters(self, api: Api) -> None:
        assert fields_of(api.get("/health/metrics?days=1")) == {"days"}

    def test_says_so_when_it_takes_too_long(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "statement", lambda *_: "SELECT pg_sleep(30)")
        monkeypatch.setattr(selectors, "FIGURES_TIMEOUT", timedelta(milliseconds=20))
        api.allow_5xx = True
        assert problem_of(api.get("/health/metrics"), 503)["type"].endswith("too-slow")


class TestExecutionFigures:
    def test_samples_a_long_history(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "MOST_READ", 100)
        monkeypatch.setattr(selectors, "SAMPLE", 50)
        add_many_executions(old=1000, recent=200)
        body = api.get("/health/metrics?hours=1").json()
        assert (body["sampled"], body["sampleSize"]) == (True, 50)
        assert body["attempts"] == body["byOutcome"]["SUCCESS"] == 200
        assert sum(hour["attempts"] for hour in body["throughputByHour"]) == pytest.approx(200, abs=2)

    def test_reads_all_of_a_short_window_of_a_long_history(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "MOST_READ", 300)
        add_many_executions(old=1000, recent=200)
        body = api.get("/health/metrics?hours=1").json()
        assert (body["sampled"], body["attempts"]) == (False, 200)


class TestFirstExecutionSince:
    def test_finds_where_the_window_begins_across_gaps(self, api: Api) -> None:
        add_many_executions(old=100, recent=10)
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(id) FROM task_executions")
            lowest = cursor.fetchone()[0]
            cursor.execute(
                "DELETE FROM task_executions WHERE id %% 3 = 0 OR id BETWEEN %s AND %s", [lowest + 40, lowest + 104]
            )
            cursor.execute("SELECT min(id) FROM task_executions WHERE finished_at > now() - interval '1 hour'")
            [first] = cursor.fetchone()
            cursor.execute(statement("first_execution_since"), {"hours": 1})
            _, found, highest = cursor.fetchone()
        assert found <= first <= highest
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM task_executions WHERE id >= %s AND id < %s", [found, first])
            assert cursor.fetchone() == (0,)


class TestSurvey:
    @pytest.mark.django_db
    def test_counts_what_waits_and_what_is_owned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_task()
        make_task(crash_count=1)
        make_task(concurrency_key="k", gate=Gate.KEY)
        make_task(status=TaskStatus.SCHEDULED, worker_id=uuid4())
        make_task(status=TaskStatus.RUNNING, worker_id=uuid4())
        make_task(status=TaskStatus.SUCCESS, finished_at=timezone.now())
        found = selectors.survey()
        assert (found.waiting, found.waiting_is_estimate) == (3, False)
        assert (found.scheduled, found.running) == (1, 1)
        monkeypatch.setattr(selectors, "MOST_COUNTED", 1)
        assert selectors.survey().waiting_is_estimate

    @pytest.mark.django_db
    def test_counts_freezes_and_what_waits_behind_them(self) -> None:
        of_queue, _ = freezes.freeze(NewFreeze(queues=["mail"]), actor="ops")
        of_type, _ = freezes.freeze(NewFreeze(types=["HTTP"]), actor="ops")
        make_task()
        make_task(queue="mail")
        make_task(queue="mail")
        make_task(type="HTTP", gate=Gate.FREEZE)
        found = [selectors.survey()]
        for row in (of_queue, of_type):
            freezes.thaw(row.pk, actor="ops")
            found.append(selectors.survey())
        # What is parked waits until it is back.
        assert [(survey.freezes, survey.frozen) for survey in found] == [(2, 3), (1, 1), (0, 1)]


def add_many_executions(*, old: int, recent: int) -> None:
    """Successful attempts, ``old`` of which ended three hours ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO task_executions
                   (task_id, worker_id, due_at, started_at, finished_at, attempt, type, status, task_status)
            SELECT gen_random_uuid(), gen_random_uuid(), at, at, at, 1, 'DUMMY', 'SUCCESS', 'SUCCESS'
              FROM (SELECT CASE WHEN n <= %(old)s THEN now() - interval '3 hours' ELSE now() END AS at
                      FROM generate_series(1, %(old)s + %(recent)s) AS n ORDER BY n) AS ends
            """,
            {"old": old, "recent": recent},
        )


class TestRecovery:
    def test_returns_the_report(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        actors = []
        monkeypatch.setattr(views, "recover_system", lambda *, actor: actors.append(actor) or RecoveryReport(retried=3))
        response = api.post("/health/recovery")
        assert response.status_code == 200
        assert response.json()["tasksRecovered"]["retried"] == 3
        assert actors == ["caller"]

    def test_needs_the_scope_admin(self, db: None) -> None:
        problem_of(Api(make_key("tasks:read", "tasks:write")).post("/health/recovery"), 403)

    def test_answers_503_without_the_database(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*, actor: str) -> RecoveryReport:
            raise DatabaseAway("no")

        monkeypatch.setattr(views, "recover_system", away)
        api.allow_5xx = True
        problem_of(api.post("/health/recovery"), 503)

    def test_is_a_post(self, api: Api) -> None:
        problem_of(api.get("/health/recovery"), 405)


class TestAccess:
    @pytest.mark.parametrize("route", KEYED_ROUTES)
    def test_needs_a_key(self, anonymous: Api, route: str) -> None:
        problem_of(anonymous.get(route), 401)

    @pytest.mark.parametrize("route", KEYED_ROUTES)
    def test_takes_any_valid_key(self, db: None, route: str) -> None:
        assert Api(make_key("tasks:write")).get(route).status_code == 200

    @pytest.mark.parametrize("route", GET_ROUTES)
    def test_answers_get_and_head_with_or_without_a_trailing_slash(self, api: Api, route: str) -> None:
        assert api.get(f"{route}/").status_code == 200
        head = api.send("HEAD", route)
        assert (head.status_code, head.content) == (200, b"")

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("route", GET_ROUTES)
    def test_takes_no_other_method(self, api: Api, route: str, method: str) -> None:
        problem_of(api.send(method, route), 405)


class TestDatabaseDown:
    @pytest.mark.parametrize("secret", [None, "ts_whatever"])
    @pytest.mark.parametrize("route", OPEN_ROUTES)
    def test_open_routes_answer(self, database_down: None, route: str, secret: str | None) -> None:
        response = Api(secret, allow_5xx=True).get(route)
        expected = (200, {"status": "UP"}) if route == "/health/live" else (503, DOWN)
        assert (response.status_code, response.json()) == expected

    def test_health_is_down(self, database_down: None) -> None:
        response = Api("ts_whatever", allow_5xx=True).get("/health")
        assert (response.status_code, response.json()) == (503, DOWN)

    @pytest.mark.parametrize("route", ["/health/workers", "/health/metrics", "/metrics"])
    def test_other_routes_answer_503(self, database_down: None, route: str) -> None:
        problem_of(Api("ts_whatever", allow_5xx=True).get(route), 503)

    def test_is_noticed_at_once(self, database_down: None) -> None:
        started = time.monotonic()
        Api(None, allow_5xx=True).get("/health/ready")
        assert time.monotonic() - started < 2

    def test_report_names_the_database_and_no_address(self, database_down: None) -> None:
        report = health.health()
        assert report.checks_json() == {
            "database": {"status": "DOWN", "kind": "unreachable", "error": "The database cannot be reached."}
        }
        assert not report.is_available


TASKS_ONLY = ["tasks_due", "tasks_suspects", "tasks_key_waiting", "tasks_owned"]
PLANS = [
    ("survey", {"most": 100, "lease": timedelta(seconds=15)}, TASKS_ONLY),
    ("first_execution_since", {"hours": 1}, ["task_executions_pkey"]),
    (
        "execution_figures",
        {"hours": 1, "sample": None, "first": 1, "highest": 9, "fractions": [0.5]},
        ["executions_finished"],
    ),
    (
        "execution_figures",
        {"hours": 1, "sample": 5, "first": 1, "highest": 9, "fractions": [0.5]},
        ["task_executions_pkey"],
    ),
    (
        "count_new_executions",
        {"most": 10, "bounds": [1.0], "negated": [-1.0], "buckets": 1},
        ["task_executions_pkey", "executions_late"],
    ),
]


class TestPlans:
    @pytest.mark.parametrize(("name", "parameters", "indexes"), PLANS)
    def test_ride_their_indexes(self, db: None, name: str, parameters: Any, indexes: list[str]) -> None:
        with selectors.bounded(timedelta(seconds=5)) as cursor:
            if "executions_finished" not in indexes:  # a table of few rows is read as fast by its times as by its keys
                cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {statement(name)}", parameters)
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert [index for index in indexes if index not in plan] == [], plan
        assert "Seq Scan on task" not in plan, plan

    def test_load_of_workers_rides_tasks_owned(self, db: None) -> None:
        with selectors.bounded(timedelta(seconds=5)):
            owned = Task.objects.filter(worker_id__isnull=False, finished_at__isnull=True)
            plan = owned.order_by().values("status").explain()
        assert "tasks_owned" in plan
