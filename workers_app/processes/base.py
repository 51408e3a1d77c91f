"""The loop every process is: a step of work, then a rest as long as the step says. Nothing else loops.

A step that meets a database that is away, or that refuses a statement, is tried again with jittered backoff; the
process does not exit for that.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Final

import psycopg
import structlog

from access_app.database_faults import DatabaseAway, backoff, kind_of, short
from workers_app.processes.wakeups import Listener
from workers_app.stop_signals import SelfPipe, stop_on_signals

log = structlog.get_logger(__name__)

#: A rest that only a wake-up ends (an hour: a lost wake-up must not be for ever).
UNTIL_WOKEN: Final = timedelta(hours=1)


class Process(ABC):
    """A long-lived process. Subclasses say how to register, what one step is, and how to leave."""

    def __init__(self, listener: Listener, pipe: SelfPipe) -> None:
        self.pipe = pipe
        self.listener = listener
        self._failures = 0
        self._failing_with = ""

    @property
    def stopping(self) -> bool:
        return self.pipe.stop_requests > 0

    def run(self) -> None:
        with stop_on_signals(self.pipe), self.registered():
            while not self.stopping:
                self.sleep(self.step())
            self.drain()

    @abstractmethod
    def registered(self) -> contextlib.AbstractContextManager[None]:
        """Be known to the others while the block runs."""

    @abstractmethod
    def tick(self) -> timedelta:
        """Do one round of work and return how long to rest. Raises `DatabaseAway`."""

    def drain(self) -> None:  # noqa: B027 - a scheduler has nothing in hand
        """Finish or give back what is in hand."""

    def step(self) -> timedelta:
        """One tick; a database that is away or refuses a statement makes for a short rest, and one line a streak."""
        try:
            rest = self.tick()
        except DatabaseAway as error:
            if self._fails_anew("database_away"):
                log.warning("database_away", kind=kind_of(error), error=short(error))
        except psycopg.Error:
            # A statement that fails changed nothing. Exiting would not mend it, and would cost a worker what it runs.
            if self._fails_anew("step_failed"):
                log.exception("step_failed")
        else:
            if self._failures:
                log.info("database_back", failures=self._failures)
            self._failures, self._failing_with = 0, ""
            return rest
        return timedelta(seconds=backoff(self._failures))

    def _fails_anew(self, event: str) -> bool:
        """Count a failure; whether it is the first of its kind in a row."""
        self._failures += 1
        before, self._failing_with = self._failing_with, event
        return event != before

    def sleep(self, rest: timedelta) -> None:
        if rest > timedelta(0):
            self.listener.wait(rest.total_seconds())
