"""A database that is read-only, full, without connections, going down or gone: what callers, staff and probes are told.

All but the full disk is so: the database's own settings and roles, an ended backend, a port where nobody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connection, connections, transaction
from django.test import Client
from psycopg import errors, sql

from access_app.database_faults import DatabaseAway
from flow_app.queues import pause_queue
from monitoring_app import health, metrics, scrapers
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.sessions import Session
from tests.factories import make_key, make_task
from tests.support.api import Api, problem_of
from tests.support.processes import cpu_of_family
from tests.support.schedules import make_calendar, make_schedule
from tests.support.stack import drained, running_stack
from tests.support.waiting import eventually
from workers_app import doctor

pytestmark = pytest.mark.usefixtures("committed_db")

READ_ONLY = "The database is read-only"


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_noted", None)
    monkeypatch.setattr(metrics, "_kept", None)
    monkeypatch.setattr(scrapers, "remembered", scrapers.Remembered())


def administer(*statements: sql.Composable) -> None:
    """Run statements over a connection that is not the one under test."""
    parameters = connection.get_connection_params()
    known = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(
        **{name: parameters[name] for name in known if parameters.get(name)},
        options="-c default_transaction_read_only=off",
        autocommit=True,
    ) as admin:
        for statement in statements:
            admin.execute(statement)


@contextmanager
def read_only_database() -> Iterator[None]:
    name = sql.Identifier(connection.settings_dict["NAME"])
    connection.close()
    administer(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    try:
        yield
    finally:
        connection.close()
        administer(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))


@contextmanager
def connected_as(**settings: Any) -> Iterator[None]:
    """With another user or port, as if DATABASE_URL said so."""
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict |= settings
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict |= before


@pytest.fixture
def staff(client: Client) -> Iterator[Client]:
    client.force_login(User.objects.create_superuser("maria", password="k3-dust-hill"))
    client.raise_request_exception = False
    yield client
    User.objects.all().delete()


@pytest.fixture
def limited_role() -> Iterator[str]:
    role = sql.Identifier("nobody_may_connect")
    with suppress(psycopg.errors.DuplicateObject):
        administer(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 0").format(role))
    yield "nobody_may_connect"
    administer(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


def told_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines about the database; each of them is short, and no line of any logger has a traceback."""
    assert not [record for record in caplog.records if record.exc_info]
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert not [event for event in events if event.get("exc_info") or event.get("exception")]
    lines = [event for event in events if event["event"] == "database_unavailable"]
    assert all("\n" not in str(event["error"]) for event in lines)
    return lines


def writes() -> list[tuple[str, str, Any]]:
    task, schedule = make_task().pk, make_schedule().pk
    ended = make_task(status="FAILED").pk
    make_calendar("freeze", {"dates": "12-24"})
    pause_queue("paused", actor="test")
    return [
        ("POST", "/tasks", {"type": "DUMMY"}),
        ("POST", "/tasks/bulk", {"tasks": [{"type": "DUMMY"}]}),
        ("PATCH", f"/tasks/{task}", {"priority": 1}),
        ("DELETE", f"/tasks/{task}", None),
        ("POST", f"/tasks/{ended}/retry", None),
        ("POST", f"/tasks/{task}/clone", None),
        ("POST", "/queues/q/pause", {}),
        ("POST", "/queues/paused/resume", None),
        ("POST", "/schedules", {"name": "s", "cron": "0 0 * * *", "task": {"type": "DUMMY"}}),
        ("PATCH", f"/schedules/{schedule}", {"description": "x"}),
        ("POST", f"/schedules/{schedule}/pause", {}),
        ("POST", f"/schedules/{schedule}/trigger", None),
        ("DELETE", f"/schedules/{schedule}", None),
        ("POST", "/calendars", {"name": "c", "ranges": [{"dates": "12-24"}]}),
        ("PATCH", "/calendars/freeze", {"description": "x"}),
        ("DELETE", "/calendars/freeze", None),
        ("POST", "/health/recovery", None),
    ]


class TestReadOnly:
    def test_every_write_is_503_and_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        api, requests = Api(make_key(), allow_5xx=True), writes()
        with read_only_database():
            for method, path, body in requests:
                caplog.clear()
                response = api.send(method, path, body)
                problem = problem_of(response, 503)
                assert problem["detail"].startswith(READ_ONLY), path
                assert response["Retry-After"] == "30"
                [line] = told_lines(caplog)
                assert line["kind"] == "read-only"

    def test_reads_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        api, task = Api(make_key()), make_task()
        with read_only_database():
            for path in ("/tasks", f"/tasks/{task.pk}", f"/tasks/{task.pk}/why", "/queues", "/schedules", "/schema"):
                assert api.get(path).status_code == 200
        assert told_lines(caplog) == []

    def test_is_not_ready_and_says_why(self) -> None:
        api = Api(make_key(), allow_5xx=True)
        with read_only_database():
            assert Api(None, allow_5xx=True).get("/health/ready").json() == {"status": "DOWN"}
            for path in ("/health/ready", "/health"):
                response = api.get(path)
                check = response.json()["checks"]["database"]
                assert (response.status_code, check["kind"]) == (503, "read-only")
                assert check["error"].startswith(READ_ONLY)
        assert api.get("/health/ready").status_code == 200

    def test_metrics_keep_what_was_counted(self) -> None:
        api = Api(make_key())
        before = api.get("/metrics").content
        with read_only_database():
            metrics._kept = None
            text = api.get("/metrics").content
        assert b"task_scheduler_database_up 1.0" in text
        ended = b'task_scheduler_tasks_ended_total{status="FAILED",type="DUMMY"}'
        assert [line for line in text.splitlines() if line.startswith(ended)] == [
            line for line in before.splitlines() if line.startswith(ended)
        ]

    def test_pages_say_so_too(self, staff: Client, caplog: pytest.LogCaptureFixture) -> None:
        task = make_task()
        with read_only_database():
            assert staff.get("/admin/tasks_app/task/").status_code == 200
            for path, data in (
                (f"/admin/tasks_app/task/{task.pk}/cancel/", {}),
                ("/admin/flow_app/queue/add/", {"name": "q", "paused": "on"}),
                ("/admin/auth/group/add/", {"name": "crew"}),
            ):
                caplog.clear()
                response = staff.post(path, data)
                assert (response.status_code, response["Retry-After"]) == (503, "30")
                page = response.content.decode()
                assert READ_ONLY in page and "Nothing was done" in page
                assert "</html>" in page
                told_lines(caplog)

    def test_signing_in_says_so_too(self, staff: Client, caplog: pytest.LogCaptureFixture) -> None:
        stranger = Client(raise_request_exception=False)
        caplog.clear()
        with read_only_database():
            response = stranger.post("/admin/login/", {"username": "maria", "password": "k3-dust-hill"})
        assert response.status_code == 503
        assert READ_ONLY in response.content.decode()
        told_lines(caplog)

    def test_sessions_of_processes_take_it_for_away_and_look_for_another_server(self) -> None:
        with read_only_database():
            session = Session("test")
            epoch = session.epoch
            for _ in range(2):
                with pytest.raises(DatabaseAway, match="read-only"):
                    session.execute("DELETE FROM tasks")
            assert session.epoch == epoch + 2
            session.close()

    def test_the_doctor_says_what_set_it(self) -> None:
        with read_only_database():
            findings = {finding.name: finding for finding in doctor.examine()}
        assert not findings["writable"].ok
        assert "default_transaction_read_only is on (database)" in findings["writable"].detail
        assert "ALTER DATABASE" in findings["writable"].advice
        assert findings["connection"].ok


class TestOutOfConnections:
    def test_is_told_as_what_it_is(self, limited_role: str, caplog: pytest.LogCaptureFixture) -> None:
        api = Api(make_key(), allow_5xx=True)
        api.get("/metrics")
        with connected_as(USER=limited_role):
            response = api.get("/tasks")
            assert problem_of(response, 503)["detail"].startswith("The database has no connection left")
            assert response["Retry-After"] == "5"
            assert api.get("/health").json()["checks"]["database"]["kind"] == "out-of-connections"
            [finding] = list(doctor.examine())
            assert (finding.ok, "CONNECTION LIMIT" in finding.advice) == (False, True)
        assert {line["kind"] for line in told_lines(caplog)} == {"out-of-connections"}


class TestUnreachable:
    def test_is_told_as_what_it_is(self, caplog: pytest.LogCaptureFixture) -> None:
        api = Api(make_key(), allow_5xx=True)
        api.get("/metrics")
        with connected_as(HOST="127.0.0.1", PORT="1"):
            assert problem_of(api.get("/tasks"), 503)["detail"].startswith("The database cannot be reached")
            assert api.get("/health").json()["checks"]["database"]["kind"] == "unreachable"
            assert api.get("/health/ready").json()["checks"]["database"]["kind"] == "unreachable"
            [finding] = list(doctor.examine())
            assert "DATABASE_URL" in finding.advice
        assert {line["kind"] for line in told_lines(caplog)} == {"unreachable"}


def end_own_backend() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def wait_for_a_lock() -> None:
    other = psycopg.connect(**connection.get_connection_params())
    with other, transaction.atomic(), connection.cursor() as cursor:
        other.execute("LOCK TABLE queues")
        cursor.execute("SET LOCAL lock_timeout = '20ms'")
        cursor.execute("LOCK TABLE queues")


def take_too_long() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '20ms'")
        cursor.execute("SELECT pg_sleep(5)")


def find_the_disk_full() -> None:
    raise OperationalError("could not extend file") from errors.DiskFull("could not extend file")


class TestInTheMiddleOfARequest:
    @pytest.mark.parametrize(
        ("happens", "says", "kind"),
        [
            (end_own_backend, "shutting down, or an administrator ended the connection", "shutting-down"),
            (wait_for_a_lock, "busy", "busy"),
            (take_too_long, "took too long", "too-slow"),
            (find_the_disk_full, "disk is full", "disk-full"),
        ],
    )
    def test_is_told_to_callers_and_staff(
        self,
        staff: Client,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        happens: Callable[[], None],
        says: str,
        kind: str,
    ) -> None:
        api, task = Api(make_key(), allow_5xx=True), make_task()
        for reads in ("flow_app.api.views.reasons_for", "tasks_app.admin.why_panel.reasons_for"):
            monkeypatch.setattr(reads, lambda *_: happens())
        caplog.clear()
        assert says in problem_of(api.get(f"/tasks/{task.pk}/why"), 503)["detail"]
        close_old_connections()  # as at the end of a request; the test client leaves it out
        page = staff.get(f"/admin/tasks_app/task/{task.pk}/change/")
        assert page.status_code == 503
        assert says in page.content.decode()
        assert [line["kind"] for line in told_lines(caplog)] == [kind, kind]
        monkeypatch.undo()
        close_old_connections()
        assert api.get(f"/tasks/{task.pk}/why").status_code == 200  # the next request has a connection that works


class TestFullDisk:
    def test_makes_the_process_not_ready_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Api(make_key(), allow_5xx=True)
        monkeypatch.setattr(services, "create_task", lambda *_, **__: find_the_disk_full())
        assert api.get("/health/ready").status_code == 200
        response = api.post("/tasks", {"type": "DUMMY"})
        assert (response.status_code, response["Retry-After"]) == (503, "30")
        ready = api.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]["kind"]) == (503, "disk-full")
        assert health._noted is not None
        monkeypatch.setattr(health, "_noted", (health._noted[0] - health.NOTED_FOR, health._noted[1]))
        assert api.get("/health/ready").status_code == 200

    def test_a_busy_table_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api, task = Api(make_key(), allow_5xx=True), make_task()
        for reads in ("flow_app.api.views.reasons_for", "tasks_app.admin.why_panel.reasons_for"):
            monkeypatch.setattr(reads, lambda *_: take_too_long())
        problem_of(api.get(f"/tasks/{task.pk}/why"), 503)
        assert api.get("/health/ready").status_code == 200


class TestProcesses:
    def test_neither_spin_nor_end_and_say_it_once(self, tmp_path: Path) -> None:
        with running_stack(tmp_path) as stack:
            scheduler, worker = stack.scheduler(), stack.worker()
            with read_only_database():
                name = sql.Literal(connection.settings_dict["NAME"])
                administer(
                    sql.SQL(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = {} AND application_name LIKE 'task_scheduler%'"
                    ).format(name)
                )
                eventually(lambda: stack.log.read_text().count("kind=read-only") >= 2, timeout=20)
                spent = [cpu_of_family(process.pid) for process in (scheduler, worker)]
                eventually(lambda: "lease_ended" in stack.log.read_text(), timeout=20)
                for process, before in zip((scheduler, worker), spent, strict=True):
                    assert cpu_of_family(process.pid) - before < 0.5
                stack.assert_all_live()
                lines = [line for line in stack.log.read_text().splitlines() if "kind=read-only" in line]
                assert len(lines) <= 4, lines
                assert {part for part in ("housekeeping", "heartbeat") if any(part in line for line in lines)}
            services.create_task(NewTask(type="DUMMY"), created_by="test")
            drained(timeout=30)
        assert "Traceback" not in stack.log.read_text()


def test_no_connection_is_left_in_a_state_that_only_reads() -> None:
    api = Api(make_key(), allow_5xx=True)
    with read_only_database():
        problem_of(api.post("/tasks", {"type": "DUMMY"}), 503)
        assert connections["default"].connection is None
