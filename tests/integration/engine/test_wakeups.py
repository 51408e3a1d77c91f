"""Hints between processes: sent after the fact, together, and never missed for good."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from tasks_app import wakeups
from tasks_app.sessions import Session
from tasks_app.wakeups import MOST_IDS, MOST_PAIRS, NEW, SCHEDULERS, WORKERS, Sender, pairs_in, scheduler_message
from tests.support.ears import Ear
from tests.support.waiting import eventually
from workers_app.processes.wakeups import Listener
from workers_app.recovery import held_locks
from workers_app.stop_signals import SelfPipe


class TestSchedulerMessage:
    def test_says_as_much_as_all_of_its_words(self) -> None:
        assert scheduler_message({("q", 1), NEW, ""}) == ""
        assert scheduler_message({("q", 1), NEW}) == NEW
        assert pairs_in(scheduler_message({("q", 1), ("r", -100)})) == {("q", 1), ("r", -100)}

    def test_names_no_pairs_when_they_are_many_and_fits_when_they_are_not(self) -> None:
        names = [f"{n:0100}" for n in range(MOST_PAIRS + 1)]
        assert scheduler_message([(name, -100) for name in names]) == NEW
        message = scheduler_message([(name, -100) for name in names[1:]])
        assert len(message) < 8000
        assert len(pairs_in(message)) == MOST_PAIRS

    @pytest.mark.parametrize(
        "message",
        [
            *("", NEW, "*", "[", "[]", "[1]", "{}", '["default",0]', '[["default"]]', '[["default",0,0]]', "[" * 5000),
            *('[["default",101]]', '[["default",0.0]]', '[["default",true]]', '[["no spaces",0]]', "[[0,0]]"),
            *('[[["default"],0]]', '[["default",0],["",0]]', json.dumps([["q", n] for n in range(MOST_PAIRS + 1)])),
        ],
    )
    def test_that_is_another_or_makes_no_sense_names_none(self, message: str) -> None:
        assert pairs_in(message) == set()


@pytest.fixture
def ear(session: Session) -> Ear:
    return Ear(session)


@pytest.fixture
def sender(committed_db: None) -> Iterator[Sender]:
    made = Sender()
    yield made
    made.close()


def words(heard: list[tuple[str, str]]) -> set[str]:
    return {word for channel, message in heard if channel == WORKERS for word in message.split(",")}


class TestSender:
    def test_wakes_schedulers_and_workers(self, sender: Sender, ear: Ear) -> None:
        sender.wake_schedulers(NEW)
        sender.wake_workers(["a", "b"])
        heard = ear.hears(lambda heard: len(heard) >= 2)
        assert (SCHEDULERS, NEW) in heard
        assert words(heard) == {"a", "b"}

    def test_sends_what_is_asked_for_meanwhile_together(self, sender: Sender, ear: Ear) -> None:
        asked = {f"w{n}" for n in range(MOST_IDS)}
        for word in sorted(asked):
            sender.wake_workers([word])
            sender.wake_schedulers(NEW)
        heard = ear.hears(lambda heard: words(heard) == asked)
        assert len(heard) < len(asked)

    def test_says_the_most_of_what_schedulers_were_to_be_told(self, sender: Sender, ear: Ear) -> None:
        """That something old came in sight must not be lost among new tasks that are told of in the same message."""
        with sender._asked:
            sender.wake_schedulers(NEW)
            sender.wake_schedulers("")
            sender.wake_schedulers(NEW)
        assert ear.hears(bool) == [(SCHEDULERS, "")]

    def test_calls_everybody_when_the_names_do_not_fit(self, sender: Sender, ear: Ear) -> None:
        """A NOTIFY takes less than 8,000 bytes."""
        sender.wake_workers(f"!{uuid4()}" for _ in range(MOST_IDS + 1))
        assert ear.hears(bool) == [(WORKERS, "*")]

    def test_fits_as_many_names_as_it_says(self, sender: Sender, ear: Ear) -> None:
        sender.wake_workers(f"!{UUID(int=n)}" for n in range(MOST_IDS))
        assert len(words(ear.hears(bool))) == MOST_IDS

    def test_sends_the_last_words_before_it_ends(self, sender: Sender, ear: Ear) -> None:
        sender.wake_workers(["last"])
        sender.close()
        assert words(ear.hears(bool)) == {"last"}
        assert not [thread for thread in threading.enumerate() if thread is sender._thread]

    def test_begins_again_after_its_end(self, sender: Sender, ear: Ear) -> None:
        sender.wake_workers(["one"])
        sender.close()
        sender.wake_workers(["two"])
        assert words(ear.hears(lambda heard: len(heard) >= 2)) == {"one", "two"}

    def test_goes_on_when_its_connection_broke(self, session: Session, sender: Sender, ear: Ear) -> None:
        sender.wake_workers(["one"])
        ear.hears(bool)
        session.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'task_scheduler wake-ups' AND datname = current_database()"
        )
        heard: list[tuple[str, str]] = []
        end = time.monotonic() + 5
        while "again" not in words(heard):  # the first may be lost: they are hints
            assert time.monotonic() < end
            sender.wake_workers(["again"])
            heard += ear.listens(0.05)

    def test_costs_nothing_when_wake_ups_are_off(self, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wakeups, "enabled", lambda: False)
        sender.wake_schedulers(NEW)
        assert sender._thread is None

    def test_belongs_to_its_process(self, committed_db: None) -> None:
        assert wakeups.sender() is wakeups.sender()


@pytest.fixture
def pipe() -> Iterator[SelfPipe]:
    made = SelfPipe()
    yield made
    made.close()


class Sleeper:
    """A listener asleep in a thread; `woke` returns after how many seconds it woke."""

    def __init__(self, listener: Listener, seconds: float = 20) -> None:
        self._began = time.monotonic()
        self._woke: float | None = None
        self._listener, self._seconds = listener, seconds
        self._thread = threading.Thread(target=self._sleep, daemon=True)
        self._thread.start()

    def woke(self, within: float = 5) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()

    def _sleep(self) -> None:
        self._listener.wait(self._seconds)


class TestListener:
    @pytest.fixture
    def listener(self, committed_db: None, pipe: SelfPipe) -> Iterator[Listener]:
        made = Listener(WORKERS, pipe, lambda message: "me" in message.split(","))
        yield made
        pipe.wake()
        made.close()

    def test_looks_once_when_it_has_begun_to_listen(self, listener: Listener) -> None:
        """What was said before it listened is lost, so it must look before it sleeps."""
        assert Sleeper(listener).woke()

    def test_wakes_for_what_concerns_it(self, session: Session, listener: Listener) -> None:
        assert Sleeper(listener).woke()
        sleeper = Sleeper(listener)
        session.execute("SELECT pg_notify(%s, 'you,me')", [WORKERS])
        assert sleeper.woke()

    def test_sleeps_on_for_what_does_not(self, session: Session, listener: Listener) -> None:
        assert Sleeper(listener).woke()
        session.execute("SELECT pg_notify(%s, 'you')", [WORKERS])
        began = time.monotonic()
        listener.wait(0.3)
        assert time.monotonic() - began >= 0.3

    def test_wakes_for_the_pipe(self, listener: Listener, pipe: SelfPipe) -> None:
        assert Sleeper(listener).woke()
        sleeper = Sleeper(listener)
        pipe.wake()
        assert sleeper.woke()

    def test_wakes_once_when_its_connection_breaks_and_listens_again(
        self, session: Session, listener: Listener
    ) -> None:
        assert Sleeper(listener).woke()
        sleeper = Sleeper(listener)
        session.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'task_scheduler listener' AND datname = current_database()"
        )
        assert sleeper.woke()
        end = time.monotonic() + 10
        while True:  # it may wake for having listened anew; then only for us
            sleeper = Sleeper(listener)
            session.execute("SELECT pg_notify(%s, 'me')", [WORKERS])
            assert sleeper.woke()
            if session.fetch(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'task_scheduler listener'"
                " AND datname = current_database() AND state = 'idle'"
            ):
                break
            assert time.monotonic() < end

    def test_sleeps_on_the_pipe_alone_when_wake_ups_are_off(
        self, committed_db: None, pipe: SelfPipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wakeups, "enabled", lambda: False)
        listener = Listener(WORKERS, pipe)
        sleeper = Sleeper(listener)
        pipe.wake()
        assert sleeper.woke()

    def test_is_never_in_a_transaction(self, session: Session, listener: Listener) -> None:
        assert Sleeper(listener).woke()
        [(state, xact)] = session.fetch(
            "SELECT state, xact_start FROM pg_stat_activity WHERE application_name = 'task_scheduler listener'"
            " AND datname = current_database()"
        )
        assert (state, xact) == ("idle", None)


def test_tests_run_with_wake_ups_on() -> None:
    assert settings.DATABASE.direct_conninfo is not None


class TestHeldLocks:
    def test_are_held_as_long_as_the_connection_of_a_worker(self, session: Session, pipe: SelfPipe) -> None:
        worker, other = uuid4(), uuid4()
        said: list[str] = []
        listener = Listener(WORKERS, pipe, lambda message: bool(said.append(message)), holder=worker)
        listener.wait(5)
        assert held_locks(session, [worker, other]) == [worker]
        assert listener._session is not None
        [(idle,)] = listener._session.fetch("SELECT setting::int FROM pg_settings WHERE name = 'tcp_user_timeout'")
        assert idle == 0
        said.clear()
        pid = listener._session.connection.info.backend_pid
        session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert held_locks(session, [worker, other]) == []
        listener.wait(5)
        assert said == ["*"], "the loss itself must make the worker beat"
        eventually(lambda: listener.wait(0.05) or held_locks(session, [worker]) == [worker])
        listener.close()
