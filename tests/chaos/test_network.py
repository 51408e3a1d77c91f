"""The network between our processes and PostgreSQL fails: nothing is lost, nothing is done twice, and work goes on.

Every process runs for real; only its way to the database leads through ``tests/support/proxy.py``. What the tasks did
is read from their traces, which no database keeps.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import close_old_connections, connection
from django.db.models import Q
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from access_app.database_faults import DatabaseAway
from access_app.sql import statement
from scheduler_project.database import CONNECTION_DEFAULTS
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.floors import LOWEST
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tests.factories import make_key
from tests.support.api import Api, problem_of
from tests.support.proxy import Direction, Proxy
from tests.support.stack import Stack, check_every_task, database_url, ended, listeners, query, running_stack
from tests.support.traces import Traces
from tests.support.waiting import eventually

BEAT, LEASE = 0.4, 3.0
TIMES = {
    "WORKER_HEARTBEAT_INTERVAL_MS": f"{BEAT * 1000:.0f}",
    "WORKER_HEARTBEAT_TIMEOUT_MS": f"{LEASE * 1000:.0f}",
}
#: Only wake-ups are quick: neither polling nor a beat finds a task within seconds.
SLOW = {
    "SCHEDULER_POLLING_INTERVAL_MS": "60000",
    "WORKER_HEARTBEAT_INTERVAL_MS": "20000",
    "WORKER_HEARTBEAT_TIMEOUT_MS": "60000",
}
#: How soon after the network is well again tasks must end.
HEALED_WITHIN = 15.0


@pytest.fixture
def proxy(committed_db: None) -> Iterator[Proxy]:
    with Proxy(database_url(), seed=1) as made:
        yield made


@pytest.fixture
def stack(committed_db: None, proxy: Proxy, traces: Traces, tmp_path: Path) -> Iterator[Stack]:
    """Processes reach the database through the proxy, unless they are started with another DATABASE_URL."""
    with running_stack(tmp_path, **TIMES, **traces.environment, DATABASE_URL=proxy.dsn) as started:
        yield started


@contextmanager
def this_process_behind(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New connections of this process, Django's and sessions, go through the proxy."""
    connection.close()
    with monkeypatch.context() as patch:
        for name, value in conninfo_to_dict(proxy.dsn).items():
            if name in ("host", "port"):
                patch.setitem(connection.settings_dict, name.upper(), value)
        try:
            yield
        finally:
            connection.close()


def beginning_of(name: str) -> str:
    """What a statement file begins with, on the wire too: its text before the first parameter."""
    return statement(name).partition("%(")[0]


def create(*new: NewTask) -> list[Any]:
    return services.create_tasks(new, created_by="test")


some = pytest.mark.parametrize(
    "count", [4, pytest.param(200, marks=[pytest.mark.chaos_full, pytest.mark.timeout(600)])]
)


class TestALostCommitReply:
    """The connection breaks after PostgreSQL has committed, and before our process is told."""

    @some
    @pytest.mark.parametrize("name", ["start_assigned", "finish_attempts", "assign_due_tasks"])
    def test_of_a_start_a_finish_or_a_pass(
        self, stack: Stack, proxy: Proxy, traces: Traces, name: str, count: int
    ) -> None:
        stack.scheduler()
        stack.worker("--concurrency", "8")
        for cut in range(1, count + 1):
            proxy.cut_after(beginning_of(name))
            create(*[NewTask(type="TRACE") for _ in range(3)])
            eventually(lambda: (proxy.cuts, ended()) == (cut, 3 * cut), timeout=20)  # noqa: B023
        check_every_task(3 * count, traces)
        assert query("SELECT count(*) FROM tasks WHERE status <> 'SUCCESS' OR attempt <> 1") == [(0,)]
        assert query("SELECT count(*) FROM task_executions WHERE status <> 'SUCCESS' OR late IS NOT NULL") == [(0,)]
        # A start whose answer was lost is adopted within two beats; the rest is a busy machine's.
        [(longest,)] = query("SELECT max(extract(epoch FROM finished_at - started_at))::float8 FROM task_executions")
        assert longest < 2 * BEAT + 2
        stack.assert_all_live()

    @some
    def test_of_a_task_sent_with_an_idempotency_key(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        api = Api(make_key(), allow_5xx=True)
        with this_process_behind(proxy, monkeypatch):
            for n in range(count):
                key = f"key-{n}"
                proxy.cut_after("INSERT INTO tasks")
                problem_of(api.post("/tasks", {"type": "DUMMY"}, Idempotency_Key=key), 503)
                close_old_connections()  # as at the beginning of every request that is not a test's
                again = api.post("/tasks", {"type": "DUMMY"}, Idempotency_Key=key)
                assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
        assert proxy.cuts == count
        assert query("SELECT count(*), count(DISTINCT idempotency_key) FROM tasks") == [(count, count)]


class Load(threading.Thread):
    """Creates about ``rate`` mixed tasks a second until it is left; a fifth of them leave traces."""

    def __init__(self, rate: int = 100) -> None:
        super().__init__(name="load", daemon=True)
        self._rate = rate
        self._leaving = threading.Event()
        self._error: BaseException | None = None
        self.created = 0

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self.join(30)
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            while not self._leaving.wait(10 / self._rate):
                self.created += len(create(*map(self._task, range(10))))
        except BaseException as error:
            self._error = error
        finally:
            connection.close()

    def _task(self, n: int) -> NewTask:
        payload = {"sleepDurationMs": (self.created * 7 + n * 13) % 80}
        match n:
            case 0 | 1:
                return NewTask(type="TRACE", payload={"sleepDurationMs": 200 + 10 * (self.created % 80)})
            case 2:
                return NewTask(type="DUMMY", payload=payload | {"shouldFail": True}, max_retries=1)
            case 3:
                return NewTask(type="DUMMY", payload=payload, concurrency_key=f"key-{self.created % 50}")
            case _:
                return NewTask(type="DUMMY", payload=payload, priority=n % 3)


FAULTS: dict[str, Callable[[Proxy], object]] = {
    "blackhole": Proxy.blackhole,
    "nothing reaches the server": lambda proxy: proxy.drop(Direction.TO_SERVER),
    "nothing reaches us": lambda proxy: proxy.drop(Direction.TO_CLIENT),
    "held": Proxy.hold,
    "2 s delay": lambda proxy: proxy.delay(2.0),
    "random resets": lambda proxy: proxy.reset_at_random(0.02),
}


#: What is tried with every change; `make chaos` tries the others too.
ALWAYS = ("blackhole",)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=[] if fault in ALWAYS else [pytest.mark.chaos_long]) for fault in FAULTS],
)
@pytest.mark.parametrize("seconds", [4, pytest.param(120, marks=[pytest.mark.chaos_full, pytest.mark.timeout(600)])])
@pytest.mark.timeout(300)
class TestUnderLoad:
    """The fault outlasts a lease."""

    def test_every_process_is_cut_off(
        self, stack: Stack, proxy: Proxy, traces: Traces, fault: str, seconds: int
    ) -> None:
        stack.scheduler()
        stack.worker("--concurrency", "50")
        stack.worker("--concurrency", "50")
        with Load() as load:
            eventually(lambda: ended() > 50, timeout=20)
            FAULTS[fault](proxy)
            last(seconds)
            proxy.heal()
            [(healed,)] = query("SELECT clock_timestamp()")
            eventually(lambda: TaskExecution.objects.filter(started_at__gt=healed).exists(), timeout=HEALED_WITHIN)
        check_every_task(load.created, traces)
        stack.assert_all_live()

    @pytest.mark.chaos_long
    def test_one_worker_is_cut_off(self, stack: Stack, proxy: Proxy, traces: Traces, fault: str, seconds: int) -> None:
        near = {"DATABASE_URL": database_url()}
        stack.scheduler(**near)
        stack.worker("--concurrency", "50", **near)
        [near_worker] = stack.active_workers()
        stack.worker("--concurrency", "50")
        of_the_other = Q(worker_id__isnull=False) & ~Q(worker_id=near_worker)
        with Load() as load:
            eventually(lambda: ended() > 50, timeout=20)
            # Still running when they are given to the other one, if their worker does not stop them.
            payload = {"sleepDurationMs": int(1000 * (LEASE + 4))}
            long = create(*[NewTask(type="TRACE", payload=payload, priority=10)] * 4)
            running = Task.objects.filter(of_the_other, pk__in=long, status="RUNNING")
            eventually(running.exists, timeout=10)
            FAULTS[fault](proxy)
            before = ended()
            last(seconds)
            assert ended() > before + 20 * seconds, "the others did not go on"
            proxy.heal()
            [(healed,)] = query("SELECT clock_timestamp()")
            again = TaskExecution.objects.filter(of_the_other, started_at__gt=healed)
            eventually(again.exists, timeout=HEALED_WITHIN)
        check_every_task(load.created + len(long), traces)
        stack.assert_all_live()


def last(seconds: float) -> None:
    """Let a fault last. Nothing is waited for."""
    time.sleep(seconds)


class TestListening:
    def test_begins_again_after_a_cut(self, stack: Stack, proxy: Proxy) -> None:
        stack.scheduler(**SLOW)
        stack.worker(**SLOW)
        eventually(lambda: len(listeners()) == 2, timeout=10)
        before = listeners()
        assert proxy.reset(sent="LISTEN") == 2
        eventually(lambda: len(listeners()) == 2 and not listeners() & before, timeout=10)
        for _ in range(3):
            [task_id] = create(NewTask(type="DUMMY"))
            eventually(lambda: Task.objects.get(pk=task_id).status == "SUCCESS", timeout=2)  # noqa: B023

    def test_looks_for_what_was_said_while_it_was_deaf(self, stack: Stack, proxy: Proxy) -> None:
        stack.scheduler(**SLOW, DATABASE_URL=database_url())
        stack.worker(**SLOW)
        eventually(lambda: len(listeners()) == 2, timeout=10)
        proxy.refuse()
        assert proxy.reset(sent="LISTEN") == 1
        [task_id] = create(NewTask(type="DUMMY"))
        eventually(lambda: Task.objects.get(pk=task_id).status == "SCHEDULED", timeout=5)
        eventually(lambda: len(listeners()) == 1, timeout=5)
        proxy.heal()
        eventually(lambda: Task.objects.get(pk=task_id).status == "SUCCESS", timeout=5)


@pytest.fixture
def far_session(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session that goes through the proxy."""
    with this_process_behind(proxy, monkeypatch):
        session = Session("test")
        yield session
        session.close()


class TestADeadServer:
    """A proxy cannot make a dead network, so what would notice one is read from the socket."""

    def test_is_noticed_by_the_kernel(self, far_session: Session) -> None:
        with socket.socket(fileno=socket.dup(far_session.connection.fileno())) as ours:
            options = {
                name: ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, option))
                for name, option in {
                    "keepalives_idle": "TCP_KEEPIDLE",
                    "keepalives_interval": "TCP_KEEPINTVL",
                    "keepalives_count": "TCP_KEEPCNT",
                    "tcp_user_timeout": "TCP_USER_TIMEOUT",
                }.items()
                if hasattr(socket, option)  # macOS has not all of them
            }
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert options
        assert options == {name: int(CONNECTION_DEFAULTS[name]) for name in options}

    def test_that_does_not_answer_a_connection_is_given_up(
        self, far_session: Session, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert 0 < int(connection.get_connection_params()["connect_timeout"]) < 10
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "connect_timeout", "2")
        proxy.blackhole()
        began = time.monotonic()
        with pytest.raises(DatabaseAway):
            far_session.fetch("SELECT 1")
        assert time.monotonic() - began < 5


class TestSeveralServers:
    @pytest.fixture
    def other(self, committed_db: None) -> Iterator[Proxy]:
        with Proxy(database_url()) as made:
            yield made

    def test_processes_find_the_one_that_answers(self, stack: Stack, proxy: Proxy, other: Proxy) -> None:
        both = make_conninfo(
            proxy.dsn, host="127.0.0.1,127.0.0.1", port=f"{other.port},{proxy.port}", target_session_attrs="read-write"
        )
        other.refuse()
        stack.scheduler(DATABASE_URL=both)
        stack.worker(DATABASE_URL=both)
        create(NewTask(type="DUMMY"))
        eventually(lambda: ended() == 1, timeout=10)
        other.heal()
        proxy.refuse()
        proxy.reset()
        create(NewTask(type="DUMMY"))
        eventually(lambda: ended() == 2, timeout=HEALED_WITHIN)
        assert other.open
        stack.assert_all_live()


class TestAServerThatCannotBeWritten:
    @pytest.fixture
    def read_only(self, committed_db: None) -> Iterator[Callable[[bool], None]]:
        """Sets how new sessions of the test database begin, as on a standby; this process keeps its own."""

        def choose(on: bool) -> None:
            name = connection.ops.quote_name(connection.settings_dict["NAME"])
            query_nothing(f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if on else 'off'}")

        yield choose
        choose(False)

    def test_is_away(self, session: Session) -> None:
        session.execute("SET default_transaction_read_only = on")
        with pytest.raises(DatabaseAway):
            session.rows(
                "start_assigned", {"worker_id": uuid4(), "limit": 1, "timeline": "", "floor": LOWEST, "ask": False}
            )
        assert (
            session.rows(
                "start_assigned", {"worker_id": uuid4(), "limit": 1, "timeline": "", "floor": LOWEST, "ask": False}
            )
            == []
        )
        assert session.epoch == 2

    @pytest.mark.parametrize("attributes", [pytest.param("any", marks=pytest.mark.chaos_long), "read-write"])
    def test_is_waited_for(
        self, stack: Stack, proxy: Proxy, read_only: Callable[[bool], None], traces: Traces, attributes: str
    ) -> None:
        url = make_conninfo(proxy.dsn, target_session_attrs=attributes)
        stack.scheduler(DATABASE_URL=url)
        stack.worker(DATABASE_URL=url)
        create(NewTask(type="TRACE"))
        eventually(lambda: ended() == 1, timeout=10)
        read_only(True)
        proxy.reset()
        create(NewTask(type="TRACE"))
        tried = proxy.accepted
        eventually(lambda: proxy.accepted > tried + 20, timeout=20)
        assert ended() == 1
        read_only(False)
        eventually(lambda: ended() == 2, timeout=HEALED_WITHIN)
        check_every_task(2, traces)
        stack.assert_all_live()


def query_nothing(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
