"""The heartbeat thread and the watchdog, one step at a time: when a beat is sent, and from when it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from tasks_app.sessions import Session
from tests.support.engine import Engine
from workers_app import lease
from workers_app.heartbeats import BeatReply
from workers_app.models import Worker
from workers_app.processes import heartbeat
from workers_app.processes.heartbeat import BUSY_INTERVAL, CompletionRate, Heartbeat, Watchdog

INTERVAL = settings.SCHEDULER.heartbeat_interval


class Beating:
    """A worker as its heartbeat sees it."""

    def __init__(self) -> None:
        self.held: dict[UUID, int] = {}
        self.part: str | None = None
        self.answers: list[tuple[BeatReply, float]] = []
        self.disownments = 0

    def held_attempts(self) -> dict[UUID, int]:
        return self.held

    def measured_prefetch(self) -> int:
        return 0

    def stuck(self) -> str | None:
        return self.part

    def heard(self, answer: BeatReply, sent: float) -> None:
        self.answers.append((answer, sent))

    def disowned(self) -> None:
        self.disownments += 1


@pytest.fixture
def worker() -> Beating:
    return Beating()


@pytest.fixture
def beats(engine: Engine, worker: Beating) -> Iterator[Heartbeat]:
    session = Session("heartbeat")
    yield Heartbeat(session, engine.worker(), worker, INTERVAL)
    session.close()


def counter() -> int:
    return Worker.objects.get().beat


class TestStep:
    def test_counts_the_lease_from_before_the_beat_was_sent(
        self, beats: Heartbeat, worker: Beating, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The answer took its time: a scheduler has seen the beat since."""
        clock, send = [1000.0], heartbeat.beat

        def slow(*args: object, **options: object) -> BeatReply | None:
            answer = send(*args, **options)  # type: ignore[arg-type]
            clock[0] += 7
            return answer

        monkeypatch.setattr(lease, "now", lambda: clock[0])
        monkeypatch.setattr(heartbeat, "beat", slow)
        beats.step()
        assert [sent for _, sent in worker.answers] == [1000.0]
        assert counter() == 1

    def test_sends_no_beat_while_some_part_makes_no_progress(self, beats: Heartbeat, worker: Beating) -> None:
        worker.part = "recorder"
        assert beats.step() == INTERVAL.total_seconds()
        assert (counter(), worker.answers) == (0, [])

    def test_tells_a_worker_that_it_is_dead(self, engine: Engine, beats: Heartbeat, worker: Beating) -> None:
        engine.kill(beats._worker_id)
        beats.step()
        assert (worker.disownments, worker.answers, counter()) == (1, [], 0)

    def test_comes_more_often_from_a_worker_that_is_busy(self, beats: Heartbeat, worker: Beating) -> None:
        assert beats.step() == INTERVAL.total_seconds()
        worker.held = {uuid4(): 1}
        assert beats.step() == min(INTERVAL, BUSY_INTERVAL).total_seconds()

    def test_is_tried_again_soon_when_the_database_is_away(
        self, engine: Engine, beats: Heartbeat, worker: Beating
    ) -> None:
        pid = beats._session.connection.info.backend_pid
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert beats.step() <= INTERVAL.total_seconds()
        assert worker.answers == []
        beats.step()
        assert (len(worker.answers), worker.disownments) == (1, 0)


class TestWatchdog:
    def test_goes_on_looking_when_a_look_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat, "WATCHDOG_INTERVAL", 0.001)
        looks, again = [0], threading.Event()

        def look() -> None:
            looks[0] += 1
            if looks[0] == 1:
                raise RuntimeError
            again.set()

        watchdog = Watchdog(look)
        watchdog.start()
        assert again.wait(5)
        watchdog.close()
        watchdog.join(5)
        assert not watchdog.is_alive()


class TestCompletionRate:
    def test_is_nothing_before_anything_ended(self) -> None:
        assert CompletionRate().per_second() == 0

    def test_follows_what_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock[0])
        rate = CompletionRate()
        for _ in range(20):
            rate.add(50)
            clock[0] += 0.5
            rate.per_second()
        assert rate.latest == pytest.approx(100, rel=0.01)

    def test_rises_sooner_than_it_falls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock[0])
        rate = CompletionRate()
        rate.add(50)
        assert not rate.rising  # too soon to say
        clock[0] += 0.5
        assert rate.rising
        assert rate.per_second() == 100
        clock[0] += 0.5
        assert rate.per_second() == 75
