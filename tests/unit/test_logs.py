"""Log lines: one event a line, no secrets, no local variables, and nothing that a value can do makes logging fail."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.conf import settings
from django.test import RequestFactory

from access_app.texts import CONTROL
from monitoring_app import receivers
from scheduler_project import logs
from schedules_app import signals as schedule_signals
from schedules_app.batches import FireReport
from tasks_app import signals
from tasks_app.conf import LogFormat
from tasks_app.signals import RecoveredTask
from workers_app.background_logs import in_background

TASK, WORKER = UUID(int=1), UUID(int=2)
Configured = Callable[..., "Stderr"]


class Stderr(io.StringIO):
    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """Configures logging for one test, and returns what then goes to stderr."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    stderr = Stderr()

    def configure(*, json: bool = True, level: str = "INFO") -> Stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure(level=level, json=json)
        return stderr

    yield configure
    monkeypatch.undo()
    logs.configure(level=settings.SCHEDULER.log_level, json=settings.SCHEDULER.log_format == LogFormat.JSON)


def log(name: str = "tests") -> Any:
    return structlog.get_logger(name)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


SELF: list[Any] = []
SELF.append(SELF)

AWKWARD = [
    pytest.param(Unprintable(), id="raises when printed"),
    pytest.param(SELF, id="holds itself"),
    pytest.param({UUID(int=3): {1: {2, 3}}}, id="keys that are no text"),
    pytest.param(float("nan"), id="not a number"),
    pytest.param(10**5000, id="huge integer"),
    pytest.param("\ud800 lone surrogate", id="lone surrogate"),
    pytest.param(b"\xff\x00", id="bytes"),
    pytest.param("x" * 100_000, id="long text"),
    pytest.param(list(range(100_000)), id="long list"),
    pytest.param(datetime.now(UTC), id="time"),
    pytest.param(ValueError("a\nb"), id="exception"),
    pytest.param("two\nlines\r\x1b[2J\x85\u2028end", id="control characters"),
    pytest.param("\u202egnp.exe\u2066\u200f", id="characters that turn text round"),
]


class TestOneLine:
    @pytest.mark.parametrize("value", AWKWARD)
    @pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
    def test_takes_any_value(self, configured: Configured, value: Any, as_json: bool) -> None:
        stderr = configured(json=as_json)
        log().info("happened", value=value, nested={"value": [value]})
        [line] = stderr.lines
        assert "happened" in line and len(line) < 40_000
        assert not as_json or json.loads(line)["event"] == "happened"
        assert not CONTROL.search(line)

    def test_shows_a_traceback_on_lines_of_its_own_without_what_steers_a_terminal(self, configured: Configured) -> None:
        stderr = configured(json=False)
        log().error("failed", exc_info=ValueError("two\nlines \x1b[2Jcleared\u202e"))
        assert len(stderr.lines) == 3
        assert "\\x1b[2Jcleared\\u202e" in stderr.lines[-1]
        assert not any(CONTROL.search(line) for line in stderr.lines)

    @pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
    def test_escapes_the_event_itself(self, configured: Configured, as_json: bool) -> None:
        stderr = configured(json=as_json)
        log().info("one\ntwo")
        logging.getLogger("foreign").info("three\n%s", "four\nfive")
        assert len(stderr.lines) == 2

    def test_reports_a_line_that_cannot_be_formatted(self, configured: Configured) -> None:
        stderr = configured()
        logging.getLogger("foreign").error("%d", "no number")
        assert stderr.events[0] | {"event": "log_line_failed", "logger": "foreign"} == stderr.events[0]

    def test_names_level_logger_time_and_bound_ids(self, configured: Configured) -> None:
        stderr = configured()
        with structlog.contextvars.bound_contextvars(correlation_id="c1"):
            log("some.module").warning("happened", n=1)
            logging.getLogger("foreign").warning("too")
        first, second = stderr.events
        assert (first["level"], first["logger"], first["n"]) == ("warning", "some.module", 1)
        assert first["correlation_id"] == second["correlation_id"] == "c1"
        assert datetime.fromisoformat(first["timestamp"]).utcoffset() is not None

    def test_leaves_out_what_is_below_the_level(self, configured: Configured) -> None:
        stderr = configured(level="WARNING")
        log().info("quiet")
        assert stderr.lines == []


SECRETS = [
    ("password", "hunter2secret"),
    ("DB_PASSWORD", "hunter2secret"),
    ("DATABASE_URL", "postgresql://u:hunter2secret@h/d"),
    ("SECRET_KEY", "hunter2secret"),
    ("headers", {"Authorization": "Bearer hunter2secret", "X-Api-Key": "hunter2secret"}),
    ("header", "Authorization: Bearer hunter2secret"),
    ("cookie", "sessionid=hunter2secret"),
    ("url", "postgresql://user:hunter2secret@db/x"),
    ("detail", "connecting with host=db password=hunter2secret failed"),
    ("request", "GET /tasks?api_key=hunter2secret&page=1"),
    ("key", "ts_hunter2secrethunter2secret"),
    ("where", "https://h/x?sig=hunter2secret&y=1#access_token=hunter2secret"),
    ("nested", "GET /?next=https%3A%2F%2Fh%2F%3Fto%256ben%3Dhunter2secret HTTP/1.1"),
    ("user", "https://hunter2secret@h/"),
    ("deep", [{"a": [{"client_secret": "hunter2secret"}]}]),
]


class TestSecrets:
    @pytest.mark.parametrize(("name", "value"), SECRETS, ids=[name for name, _ in SECRETS])
    @pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
    def test_hides(self, configured: Configured, name: str, value: Any, as_json: bool) -> None:
        stderr = configured(json=as_json)
        log().info("happened", **{name: value})
        [line] = stderr.lines
        assert "hunter2" not in line and "***" in line
        assert not as_json or json.loads(line)

    def test_hides_in_messages_and_tracebacks(self, configured: Configured) -> None:
        stderr = configured()
        try:
            raise ValueError("postgresql://u:hunter2secret@h/d")  # noqa: TRY301
        except ValueError:
            logging.getLogger("foreign").exception("Bearer hunter2secret")
        assert "hunter2" not in stderr.getvalue()

    @pytest.mark.parametrize("name", ["idempotency_key", "concurrency_key", "task_id", "passed"])
    def test_shows_what_is_no_secret(self, configured: Configured, name: str) -> None:
        stderr = configured()
        log().info("happened", **{name: "visible"})
        assert stderr.events[0][name] == "visible"


class TestTracebacks:
    @pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
    def test_shows_no_local_variable(self, configured: Configured, as_json: bool) -> None:
        stderr = configured(json=as_json)

        def fail() -> None:
            payload = "local" + "value"
            raise RuntimeError(len(payload))

        try:
            fail()
        except RuntimeError:
            log().exception("failed")
        assert "localvalue" not in stderr.getvalue()
        assert "RuntimeError" in stderr.getvalue() and "fail" in stderr.getvalue()
        assert not as_json or len(stderr.lines) == 1

    def test_makes_uncaught_exceptions_lines_too(self, configured: Configured) -> None:
        stderr = configured()
        thread = threading.Thread(target=lambda: 1 / 0, name="pool-1")
        thread.start()
        thread.join()
        sys.excepthook(ValueError, ValueError("x"), None)
        assert [event["event"] for event in stderr.events] == ["uncaught_exception"] * 2
        assert stderr.events[0]["thread"] == "pool-1"


class TestStderr:
    PROGRAM = """
import logging, os, sys
sys.path.insert(0, {root!r})
from scheduler_project import logs
logs.configure(level="INFO", json=True)
{before}
for n in range(3):
    logging.getLogger("x").info("line %d", n)
os.write(1, b"alive")
"""

    @pytest.mark.parametrize(
        "before",
        ["sys.stderr.close()", "sys.stderr = None", "r, w = os.pipe(); os.dup2(w, 2); os.close(w); os.close(r)"],
        ids=["closed", "absent", "broken pipe"],
    )
    def test_lives_on_without_it(self, before: str) -> None:
        program = self.PROGRAM.format(root=str(settings.BASE_DIR), before=before)
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
        assert (ended.returncode, ended.stdout) == (0, b"alive")


@dataclass
class BlockedHandler(logging.Handler):
    """Stands for a reader of stderr that is stuck until it is released."""

    def __post_init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()
        self.messages: list[Any] = []

    __hash__ = object.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.released.wait(10)
        self.messages.append(record.msg)


@pytest.fixture
def blocked(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> BlockedHandler:
    configured()
    handler = BlockedHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    return handler


class TestInBackground:
    def test_writes_everything_before_it_ends(self, configured: Configured) -> None:
        stderr = configured()
        with in_background(), structlog.contextvars.bound_contextvars(correlation_id="c9"):
            for n in range(500):
                log().info("happened", n=n)
            logging.getLogger("foreign").info("too")
        assert [event.get("n") for event in stderr.events] == [*range(500), None]
        assert stderr.events[-1]["correlation_id"] == "c9"

    def test_never_waits_for_the_writer_and_reports_what_it_dropped(self, blocked: BlockedHandler) -> None:
        with in_background(most_waiting=10) as handler:
            log().info("first")
            blocked.entered.wait(10)
            for n in range(25):
                log().info("happened", n=n)
            assert handler.dropped == 15
            blocked.released.set()
        events = [message["event"] for message in blocked.messages]
        assert events.count("happened") == 10
        assert blocked.messages[events.index("log_lines_dropped")]["lines"] == 15

    def test_ends_although_the_writer_is_stuck(self, blocked: BlockedHandler) -> None:
        with in_background(most_waiting=1, patience=0.05):
            for _ in range(5):
                log().info("happened")
        blocked.released.set()
        assert blocked in logging.getLogger().handlers


def attempt(**facts: Any) -> SimpleNamespace:
    defaults = {
        "task_id": TASK,
        "attempt": 2,
        "type": "DUMMY",
        "status": "SUCCESS",
        "next_status": "SUCCESS",
        "correlation_id": "c1",
        "duration_s": 0.12345,
        "error_code": None,
        "error_message": None,
    }
    return SimpleNamespace(**defaults | facts)


FAILED = attempt(status="FAILED", next_status="PENDING", error_code="NETWORK", error_message="e" * 9999)
IDS = {"task_id": str(TASK), "attempt": 2, "worker_id": str(WORKER), "correlation_id": "c1"}
QUARANTINED = RecoveredTask(TASK, 2, WORKER, "RUNNING", "FAILED", "QUARANTINED", "c1")

LINES = [
    (
        signals.attempt_ended,
        {"worker_id": WORKER, "records": [attempt()]},
        [("info", "attempt_ended", IDS | {"duration_s": 0.123})],
    ),
    (
        signals.attempt_ended,
        {"worker_id": WORKER, "records": [FAILED]},
        [("info", "attempt_ended", IDS | {"error_code": "NETWORK"})],
    ),
    (
        signals.attempts_late,
        {"worker_id": WORKER, "records": [attempt(next_status=None)]},
        [("warning", "attempt_late", IDS)],
    ),
    (
        signals.tasks_recovered,
        {"scheduler_id": WORKER, "rows": [QUARANTINED]},
        [
            ("info", "attempt_ended", IDS | {"status": "LOST", "next_status": "FAILED"}),
            ("info", "tasks_recovered", {"tasks": 1, "running_to_failed": 1}),
            ("warning", "task_quarantined", IDS),
        ],
    ),
    (
        signals.system_recovered,
        {"report": SimpleNamespace(to_json=lambda: {"lost": 1})},
        [("info", "system_recovered", {"report": {"lost": 1}})],
    ),
    (
        signals.worker_registered,
        {"worker_id": WORKER, "slots": 4, "queues": None},
        [("info", "worker_registered", {"slots": 4})],
    ),
    (
        signals.worker_lost,
        {"worker_id": WORKER, "reason": "no beat"},
        [("warning", "worker_lost", {"reason": "no beat"})],
    ),
    (signals.worker_stopped, {"worker_id": WORKER, "ended": 3}, [("info", "worker_stopped", {"ended": 3})]),
    (
        signals.scheduler_started,
        {"scheduler_id": WORKER},
        [("info", "scheduler_started", {"scheduler_id": str(WORKER)})],
    ),
    (signals.scheduler_stopped, {"scheduler_id": WORKER}, [("info", "scheduler_stopped", {})]),
    (
        schedule_signals.schedules_fired,
        {"report": FireReport(schedules=3, states=Counter(FIRED=2, MISSED=1), lateness=0.01234)},
        [("info", "schedules_fired", {"schedules": 3, "tasks": 2, "lateness_s": 0.012, "fired": 2, "missed": 1})],
    ),
    (
        signals.process_stats,
        {"role": "worker", "process_id": WORKER, "stats": {"ended": 7}},
        [("info", "stats", {"worker_id": str(WORKER), "ended": 7})],
    ),
]


class TestReceivers:
    @pytest.mark.parametrize(("signal", "facts", "lines"), LINES)
    def test_turn_what_happened_into_lines(self, configured: Configured, signal: Any, facts: Any, lines: Any) -> None:
        stderr = configured()
        answers = signal.send_robust(None, **facts)
        assert [answer for _, answer in answers] == [None]
        events = stderr.events
        assert [(event["level"], event["event"]) for event in events] == [(level, name) for level, name, _ in lines]
        for event, (_, _, expected) in zip(events, lines, strict=True):
            assert expected.items() <= event.items()
            assert len(event.get("error_message", "")) <= receivers.LONGEST_MESSAGE

    def test_do_not_look_at_records_nobody_will_see(self, configured: Configured) -> None:
        configured(level="WARNING")
        signals.attempt_ended.send(None, worker_id=WORKER, records=iter(lambda: pytest.fail("looked"), None))


class TestRequests:
    @pytest.mark.parametrize(
        ("path", "status", "level", "events"),
        [
            ("/tasks", 200, "INFO", ["request_finished"]),
            ("/health/live", 200, "INFO", []),
            ("/metrics/", 200, "INFO", []),
            ("/metrics", 503, "INFO", ["request_finished"]),
            ("/healthy", 404, "INFO", ["request_finished"]),
            ("/health/live", 200, "DEBUG", ["request_started", "request_finished"]),
        ],
    )
    def test_write_one_line(
        self, configured: Configured, path: str, status: int, level: str, events: list[str]
    ) -> None:
        from django.http import HttpResponse
        from django_structlog.middlewares import RequestMiddleware

        stderr = configured(level=level)
        RequestMiddleware(lambda request: HttpResponse(status=status))(RequestFactory().get(path))
        written = [event for event in stderr.events if event["event"].startswith("request_")]
        assert [event["event"] for event in written] == events
        assert all("duration_ms" in event for event in written if event["event"] == "request_finished")

    @pytest.mark.parametrize("name", ["DisallowedHost", "TooManyFieldsSent", "RequestDataTooBig", "csrf", "another"])
    def test_that_django_refuses_are_one_short_line_at_info_without_a_traceback(
        self, configured: Configured, name: str
    ) -> None:
        stderr = configured()
        logging.getLogger(f"django.security.{name}").error("no: %s", "x" * 500, exc_info=ValueError("x"))
        [event] = stderr.events
        assert (event["event"], event["level"], event["kind"]) == ("request_refused", "info", name)
        assert event["reason"] == f"no: {'x' * 196}"
        assert not event.keys() & {"exception", "exc_info"}
