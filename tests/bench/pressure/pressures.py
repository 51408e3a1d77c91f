"""What is done to the installation, each for so many seconds. Another one is a function and a line in `PRESSURES`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from tests.bench.pressure.subject import RATE, Subject

READERS = 4
IDLE = 300
KILL_EVERY = 10.0
OVERLOAD = 1.2
BURST = 40 * RATE
TERMINATE_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Pressure:
    name: str
    act: Callable[[Subject, float], None]


def idle_in_transaction(subject: Subject, seconds: float) -> None:
    """A transaction that has written, and holds its snapshot."""
    with psycopg.connect(subject.bench.url, application_name="bench idle") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT pg_current_xact_id()")
        subject.rest_until(time.time() + seconds)


def long_readers(subject: Subject, seconds: float) -> None:
    """Four sessions that count all tasks again and again, each under one snapshot."""
    over = threading.Event()
    with ExitStack() as stack:
        for _ in range(READERS):
            thread = threading.Thread(target=_read, args=(subject.bench.url, over), daemon=True)
            thread.start()
            stack.callback(thread.join)
        stack.callback(over.set)
        subject.rest_until(time.time() + seconds)


def _read(url: str, over: threading.Event) -> None:
    with psycopg.connect(url, application_name="bench reader") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        while not over.wait(0.1):
            connection.execute("SELECT count(*) FROM tasks WHERE payload = '{}'")


def event_burst(subject: Subject, seconds: float) -> None:
    """Forty seconds' tasks at once; how fast they are worked off is the capacity."""
    began = time.time()
    count = min(BURST, int(BURST * seconds / 20))
    subject.producer.burst(count)
    subject.wait_until_calm(RATE, max(seconds, 60))
    subject.capacity = count / (time.time() - began)
    subject.rest_until(began + seconds)


def sustained_overload(subject: Subject, seconds: float) -> None:
    """A fifth more than were worked off when nobody created any."""
    if subject.capacity is None:
        event_burst(subject, 0)
    assert subject.capacity is not None
    try:
        subject.producer.rate = OVERLOAD * subject.capacity
        subject.rest_until(time.time() + seconds)
    finally:
        subject.producer.rate = RATE


def worker_kills(subject: Subject, seconds: float) -> None:
    """A worker each ten seconds, twice at least; in turn alone and with its guardian."""
    began, kills = time.time(), max(2, round(seconds / KILL_EVERY))
    for number in range(kills):
        subject.rest_until(began + number * seconds / kills)
        subject.kill_worker(number // 2 % 2, guardian=bool(number % 2))
    subject.rest_until(began + seconds)


def backend_kills(subject: Subject, seconds: float) -> None:
    """A session ended each half second, and once a process killed, so that the server ends all of them."""
    began = time.time()
    killed = False
    while (now := time.time()) < began + seconds:
        if not killed and now > began + seconds / 2:
            subject.kill_session()
            killed = True
        subject.terminate_session()
        subject.rest_until(time.time() + TERMINATE_EVERY)


def restart(subject: Subject, seconds: float) -> None:
    """PostgreSQL stopped in fast mode, and away for a sixth of the time, ten seconds at most."""
    began, server = time.time(), subject.bench.cluster.server
    server.stop()
    subject.rest_until(time.time() + min(10.0, seconds / 6))
    server.start(announce=False)
    subject.rest_until(began + seconds)


def idle_connections(subject: Subject, seconds: float) -> None:
    """Three hundred sessions that do nothing."""
    began = time.time()
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(psycopg.connect(subject.bench.url, application_name="bench idle"))
        subject.rest_until(began + seconds)


PRESSURES = {
    pressure.name: pressure
    for pressure in (
        Pressure("idle in transaction", idle_in_transaction),
        Pressure(f"{READERS} long readers", long_readers),
        Pressure("burst", event_burst),
        Pressure("overload", sustained_overload),
        Pressure("worker kills", worker_kills),
        Pressure("backend kills", backend_kills),
        Pressure("restart", restart),
        Pressure(f"{IDLE} idle connections", idle_connections),
    )
}
