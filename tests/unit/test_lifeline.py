"""That a stop, from wherever and whenever it comes, ends what blocks an attempt."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tasks_app.executors.base import Execution, StopReason
from tasks_app.executors.lifeline import Deadlines, Lifeline, Stopped


def execution(seconds: float = 20) -> Execution:
    deadline = time.monotonic() + seconds
    return Execution(uuid.uuid4(), 1, "HTTP", {}, timedelta(seconds=seconds), "c", deadline=deadline)


def stopped(work: Execution) -> threading.Event:
    event = threading.Event()
    work.on_stop(event.set)
    return event


class TestDeadlines:
    def test_stop_each_execution_at_its_own(self) -> None:
        deadlines = Deadlines()
        far, near, later = execution(60), execution(0.1), execution(0.2)  # each time nearer: the rest must be cut short
        events = [stopped(work) for work in (near, later)]
        for work in (far, later, near):
            deadlines.add(work)
        assert all(event.wait(5) for event in events)
        assert (near.stop_reason, later.stop_reason, far.stop_reason) == (
            StopReason.DEADLINE,
            StopReason.DEADLINE,
            None,
        )

    def test_leave_alone_what_has_ended(self) -> None:
        deadlines = Deadlines()
        ended, control = execution(0.05), execution(0.1)
        event = stopped(control)
        deadlines.add(ended)
        deadlines.add(control)
        deadlines.discard(ended)
        assert event.wait(5)
        assert ended.stop_reason is None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


class TestLifeline:
    def test_stop_ends_a_blocked_receive(self, pair: tuple[socket.socket, socket.socket]) -> None:
        work = execution()
        with Lifeline(work) as lifeline:
            lifeline.hold(pair[0])
            threading.Timer(0.05, work.stop, [StopReason.CANCEL]).start()
            assert pair[0].recv(1) == b""
            with pytest.raises(Stopped):
                lifeline.check()

    def test_stop_reaches_a_descriptor_that_was_taken_over(self, pair: tuple[socket.socket, socket.socket]) -> None:
        work = execution()
        with Lifeline(work) as lifeline:
            lifeline.hold(pair[0])
            with socket.socket(fileno=pair[0].detach()) as owner:  # as TLS does
                work.stop(StopReason.CANCEL)
                assert owner.recv(1) == b""

    def test_a_stop_before_the_hold_is_not_missed(self, pair: tuple[socket.socket, socket.socket]) -> None:
        work = execution()
        with Lifeline(work) as lifeline:
            work.stop(StopReason.RELEASE)
            with pytest.raises(Stopped):
                lifeline.hold(pair[0])

    def test_keeps_no_descriptor_behind(self, pair: tuple[socket.socket, socket.socket]) -> None:
        near, far = pair
        with Lifeline(execution()) as lifeline:
            lifeline.hold(near)
            lifeline.hold(near)
        near.close()
        assert far.recv(1) == b""  # the last descriptor of the other end is gone

    def test_check_enforces_the_deadline_by_itself(self) -> None:
        work = execution(0)
        with pytest.raises(Stopped):
            Lifeline(work).check()
        assert work.stop_reason is StopReason.DEADLINE


class TestRunAside:
    def test_returns_or_raises_what_the_work_does(self) -> None:
        with Lifeline(execution()) as lifeline:
            assert lifeline.run_aside(lambda: 7) == 7
            with pytest.raises(ZeroDivisionError):
                lifeline.run_aside(lambda: 1 // 0)

    @pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.RELEASE])
    def test_a_stop_leaves_the_work_behind(self, reason: StopReason) -> None:
        class Woken(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                threading.Thread(target=work.stop, args=[reason]).start()
                return super().wait(timeout)

        def block() -> None:
            hang.wait(5)
            ended.set()

        work, hang, ended = execution(), threading.Event(), threading.Event()
        with Lifeline(work) as lifeline, pytest.raises(Stopped):
            lifeline._woken = Woken()
            lifeline.run_aside(block)
        assert not ended.is_set()
        hang.set()

    def test_so_does_the_deadline(self) -> None:
        work, hang = execution(0.05), threading.Event()
        with Lifeline(work) as lifeline, pytest.raises(Stopped):
            lifeline.run_aside(lambda: hang.wait(10))
        hang.set()
        assert work.stop_reason is StopReason.DEADLINE

    def test_waits_for_a_free_thread_and_can_be_stopped_there(self) -> None:
        only, hang = threading.BoundedSemaphore(1), threading.Event()
        with Lifeline(execution(0.05), aside=only) as lifeline, pytest.raises(Stopped):
            lifeline.run_aside(lambda: hang.wait(10))
        with Lifeline(execution(0.1), aside=only) as lifeline, pytest.raises(Stopped):
            lifeline.run_aside(lambda: 7)
        hang.set()
        with Lifeline(execution(), aside=only) as lifeline:
            assert lifeline.run_aside(lambda: 7) == 7
