"""The constant load: at least a hundred mixed tasks a second, created by the service, each accepted id remembered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from tasks_app import wakeups
from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.chaos.campaign.effects import MARK, EffectLog

RATE: Final = 110
TICK: Final = 0.1
QUICK_RETRY: Final = {"backoff": "fixed", "baseDelayMs": 100, "jitter": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is to be expected of a task: how it ends, after how many failures, whether its body writes lines."""

    name: str
    ends: tuple[str, ...] = ("SUCCESS",)
    failures: int = 0
    writes: bool = True
    #: How many may be at work at once: all of this kind, and of one concurrency key.
    at_once: int | None = None
    of_key: int = 1


INSTANT = Kind("instant")
SLEEPING = Kind("sleeping")
FAILING = Kind("failing", failures=2)
KEYED = Kind("keyed")
SHELL = Kind("shell")
PLAIN = Kind("plain", writes=False)
KINDS: Final = (INSTANT, SLEEPING, FAILING, KEYED, SHELL, PLAIN)
WEIGHTS: Final = (36, 12, 6, 8, 3, 35)


@dataclass(frozen=True, slots=True)
class Accepted:
    kind: Kind
    key: str | None


class Load(threading.Thread):
    """Creates tasks until closed. A batch the database did not confirm is not accepted, and not sent again."""

    def __init__(self, chance: random.Random, effects: EffectLog) -> None:
        super().__init__(name="load", daemon=True)
        self.rate = RATE
        #: Instant tasks only.
        self.plain = False
        #: Batches without an answer.
        self.refused = 0
        self._chance = chance
        self._effects = effects
        self._accepted: dict[UUID, Accepted] = {}
        self._batches: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._closed = False

    def resume(self) -> None:
        self._running.set()

    def pause(self) -> None:
        self._running.clear()

    def close(self) -> None:
        self._closed = True
        self._running.set()
        self.join(30)
        wakeups.sender().close()

    def run(self) -> None:
        due = time.monotonic()
        while self._running.wait() and not self._closed:
            self._create_batch()
            due = max(due + TICK, time.monotonic() - TICK)  # what an outage kept from being created is not caught up
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()

    def create(self, kind: Kind, new: Sequence[NewTask]) -> list[UUID]:
        """Create tasks of a fault's own. Raises what the service raises."""
        connection.close()  # this thread's may be of before an outage
        return self._accept([(kind, task) for task in new])

    def take_accepted(self) -> dict[UUID, Accepted]:
        """All tasks accepted since the last call."""
        with self._lock:
            accepted, self._accepted = self._accepted, {}
            self._batches.clear()
        return accepted

    def accepted_between(self, since: float, until: float) -> int:
        with self._lock:
            return sum(count for at, count in self._batches if since <= at < until)

    def effect(self, kind: Kind, **payload: object) -> NewTask:
        return NewTask(type="CHAOS_EFFECT", payload=payload, correlation_id=MARK, retry=QUICK_RETRY, max_retries=5)

    def shell(self, command: str, **fields: object) -> NewTask:
        values: dict[str, object] = {"type": "SHELL", "payload": {"command": command}, "correlation_id": MARK}
        return NewTask(**values | fields)  # type: ignore[arg-type]  # fields of a NewTask

    def _create_batch(self) -> None:
        size = round(self.rate * TICK)
        kinds = self._chance.choices((INSTANT, PLAIN) if self.plain else KINDS, None if self.plain else WEIGHTS, k=size)
        try:
            self._accept([(kind, self._new(kind)) for kind in kinds])
        except (DatabaseError, InterfaceError):
            self.refused += 1
            connection.close()

    def _accept(self, batch: list[tuple[Kind, NewTask]]) -> list[UUID]:
        ids = create_tasks([new for _, new in batch], created_by="chaos")
        with self._lock:
            self._batches.append((time.time(), len(ids)))
            for task_id, (kind, new) in zip(ids, batch, strict=True):
                self._accepted[task_id] = Accepted(kind, new.concurrency_key)
        return ids

    def _new(self, kind: Kind) -> NewTask:
        seconds = round(self._chance.uniform(0.1, 2), 3)
        match kind.name:
            case "plain":
                sleep_ms = int(1000 * seconds) if not self.plain and self._chance.random() < 0.25 else 0
                return NewTask(type="DUMMY", payload={"sleepDurationMs": sleep_ms}, correlation_id=MARK)
            case "sleeping":
                return self.effect(kind, seconds=seconds)
            case "failing":
                return self.effect(kind, failures=kind.failures)
            case "keyed":
                key = f"account-{self._chance.randrange(8)}"
                return NewTask(type="CHAOS_EFFECT", payload={"seconds": 0.02}, correlation_id=MARK, concurrency_key=key)
            case "shell":
                return self.shell(self._effects.shell(self._chance.randrange(1, 5)))
        return self.effect(kind)
