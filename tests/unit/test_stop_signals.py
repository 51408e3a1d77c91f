"""Which signals ask for a clean stop, and how they are counted."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from workers_app.stop_signals import STOP_SIGNALS, SelfPipe, stop_on_signals

#: What ends a Linux process by default without a fault of its own, signal(7); SIGPIPE and SIGXFSZ become errors.
ENDS = "HUP INT QUIT USR1 USR2 ALRM TERM VTALRM PROF"
ENDS_ON_LINUX = "STKFLT XCPU IO PWR RTMIN RTMAX"
LEFT_ALONE = "KILL STOP SEGV ABRT ILL FPE BUS SYS TRAP PIPE XFSZ CHLD CONT TSTP TTIN TTOU URG WINCH"


def numbers(names: str) -> set[int]:
    return {int(getattr(signal, f"SIG{name}")) for name in names.split()}


@pytest.fixture
def pipe() -> SelfPipe:
    return SelfPipe()


class TestStopSignals:
    def test_are_all_that_ask_for_an_end(self) -> None:
        assert numbers(ENDS) <= STOP_SIGNALS
        assert not numbers(LEFT_ALONE) & STOP_SIGNALS
        if sys.platform == "linux":
            assert numbers(ENDS_ON_LINUX) <= STOP_SIGNALS
            assert numbers(ENDS + " " + ENDS_ON_LINUX) | set(range(signal.SIGRTMIN, signal.SIGRTMAX)) == STOP_SIGNALS


@pytest.mark.usefixtures("from_a_terminal")
class TestStopOnSignals:
    def test_each_of_them_asks_for_a_stop(self, pipe: SelfPipe) -> None:
        for number in sorted(STOP_SIGNALS - {signal.SIGALRM}):  # the test run's own, see below
            pipe.stop_requests = 0
            with stop_on_signals(pipe):
                os.kill(os.getpid(), number)
                assert pipe.stop_requests == 1, number

    def test_puts_the_handlers_back(self, pipe: SelfPipe) -> None:
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        with stop_on_signals(pipe):
            assert signal.getsignal(signal.SIGHUP) == pipe.on_signal
        assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == before

    def test_leaves_ignored_what_was_ignored_as_below_nohup(self, pipe: SelfPipe) -> None:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
        try:
            with stop_on_signals(pipe):
                os.kill(os.getpid(), signal.SIGHUP)
                assert pipe.stop_requests == 0
                os.kill(os.getpid(), signal.SIGINT)  # a script starts what is in the background with it ignored
                assert pipe.stop_requests == 1
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def test_leaves_to_others_what_they_handle(self, pipe: SelfPipe) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGPROF, lambda number, _frame: heard.append(number))
        try:
            with stop_on_signals(pipe):
                os.kill(os.getpid(), signal.SIGPROF)
        finally:
            signal.signal(signal.SIGPROF, before)
        assert (heard, pipe.stop_requests) == ([signal.SIGPROF], 0)

    def test_a_terminal_that_closes_twice_does_not_mean_now(self, pipe: SelfPipe) -> None:
        with stop_on_signals(pipe):
            for number, requests in ((signal.SIGHUP, 1), (signal.SIGHUP, 1), (signal.SIGTERM, 2), (signal.SIGINT, 3)):
                os.kill(os.getpid(), number)
                assert pipe.stop_requests == requests

    def test_hears_what_came_while_it_was_blocked(self, pipe: SelfPipe) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        signal.raise_signal(signal.SIGTERM)  # to this thread: others of the test run do not block it
        with stop_on_signals(pipe):
            assert pipe.stop_requests == 1
        assert not STOP_SIGNALS & signal.pthread_sigmask(signal.SIG_BLOCK, ())
