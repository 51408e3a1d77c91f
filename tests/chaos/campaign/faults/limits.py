"""Limits under blows: a queue, keys and a target, each full all the time, while anything that may die does.

Looked at from two sides: the rows, every some milliseconds and as fast as the database answers, and the log that bodies
write outside the system, from which the settled campaign counts how many were at work at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection

from flow_app.queues import edit_queue
from flow_app.targets import Rules, put_target
from tasks_app.fields import NewTask
from tests.chaos.campaign.campaign import Campaign, Fault
from tests.chaos.campaign.effects import MARK
from tests.chaos.campaign.faults.at_random import PAUSE, Blows
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.load import QUICK_RETRY, RATE, Kind

QUEUE, KEYED, CALLING = "limited", "limited-keys", "limited-target"
HOST: Final = "t.example"
IN_QUEUE: Final = Kind("limited", at_once=5)
OF_KEY: Final = Kind("limited by key", of_key=2)
OF_TARGET: Final = Kind("limited by target", at_once=4)
KEYS: Final = 4
#: Seconds between two batches, and how many tasks of each kind are in one: more than ends meanwhile.
EVERY: Final = 0.5
BATCH: Final = 6
#: The load beside, in tasks a second.
BESIDE: Final = 30

_SAMPLE = f"""
SELECT count(*) FILTER (WHERE queue = '{QUEUE}'), count(*) FILTER (WHERE target = '{HOST}'),
       coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM tasks
          WHERE queue = '{KEYED}' AND worker_id IS NOT NULL AND finished_at IS NULL GROUP BY concurrency_key) AS k), 0)
  FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL"""
# No task type but HTTP has a target, and its effects are those of a peer: nobody can take them back when a worker dies.
_CALL = f"UPDATE tasks SET target = '{HOST}', run_at = now() WHERE id = ANY(%s)"


def limits(campaign: Campaign, found: Findings) -> None:
    """Keep all three limits full, hit at random, and look all the while."""
    edit_queue(QUEUE, {"maxConcurrency": IN_QUEUE.at_once}, actor="chaos")
    edit_queue(KEYED, {"perKey": {"maxConcurrency": OF_KEY.of_key}}, actor="chaos")
    put_target(HOST, Rules(max_concurrency=OF_TARGET.at_once), actor="chaos")
    campaign.load.rate = BESIDE
    blows = Blows(campaign)
    try:
        with _beside(Sampler(found).look), _beside(lambda: _create(campaign), every=EVERY):
            _strike(campaign, found, blows)
    finally:
        campaign.load.rate = RATE
    blows.wait()
    campaign.installation.heal()


def _strike(campaign: Campaign, found: Findings, blows: Blows) -> None:
    """No poison here, and no bombs: they are slow, and about other promises."""
    chosen = [each for each in blows.all() if each[0] not in ("poison", "fork bomb", "setsid children")]
    end = time.monotonic() + campaign.seconds
    while time.monotonic() < end:
        name, blow = campaign.chance.choice(chosen)
        blow()
        found.counts[name] += 1
        time.sleep(campaign.chance.uniform(0.1, PAUSE))  # part of the seeded story
        campaign.installation.start_missing()


class Sampler:
    """Counts what workers own under each limit."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._connection: psycopg.Connection[Any] | None = None
        self._most = {
            "in the limited queue": IN_QUEUE.at_once or 0,
            "calling the limited target": OF_TARGET.at_once or 0,
            "of one limited key": OF_KEY.of_key,
        }

    def look(self) -> None:
        """Once; nothing while the database is away."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, connect_timeout=2)
            row = self._connection.execute(_SAMPLE.encode()).fetchone() or (0, 0, 0)
        except psycopg.Error:
            with suppress(AttributeError, psycopg.Error):
                self._connection.close()  # type: ignore[union-attr]  # None is an AttributeError
            return
        self._found.counts["samples"] += 1
        for (name, most), count in zip(self._most.items(), row, strict=True):
            self._found.counts[f"{name}: full"] += count == most
            self._found.expect(count <= most, f"over its limit: {count} {name}, whose limit is {most}")


def _create(campaign: Campaign) -> None:
    """Tasks under each limit; none while the database is away, and none that it did not confirm."""
    with suppress(DatabaseError):
        campaign.load.create(IN_QUEUE, [_effect(campaign, queue=QUEUE) for _ in range(BATCH)])
        keyed = [_effect(campaign, queue=KEYED, concurrency_key=f"k{n % KEYS}") for n in range(BATCH)]
        campaign.load.create(OF_KEY, keyed)
        _call(campaign.load.create(OF_TARGET, [_effect(campaign, queue=CALLING, later=True) for _ in range(BATCH)]))


def _call(ids: Sequence[UUID]) -> None:
    """Have them call the host, at once: until they do, they are due in an hour."""
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute(_CALL, [list(ids)])
        except DatabaseError:
            connection.close()
            time.sleep(0.1)  # the database is away
        else:
            return


def _effect(campaign: Campaign, *, later: bool = False, **fields: Any) -> NewTask:
    seconds = round(campaign.chance.uniform(0.1, 0.5), 3)
    at = datetime.now(UTC) + timedelta(hours=1) if later else None
    payload = {"seconds": seconds}
    return NewTask(
        type="CHAOS_EFFECT",
        payload=payload,
        correlation_id=MARK,
        retry=QUICK_RETRY,
        max_retries=5,
        schedule_at=at,
        **fields,
    )


@contextmanager
def _beside(step: Callable[[], None], *, every: float = 0.01) -> Iterator[None]:
    """Do something again and again in a thread while the block runs; what it raises ends the block with it."""
    over, errors = threading.Event(), []

    def run() -> None:
        try:
            while not over.wait(every):
                step()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    if errors:
        raise errors[0]


FAULTS = [
    Fault(
        name="limits",
        title="limits of a queue, of keys and of a target, full, under kills, freezes and crashes of everything",
        target="none exceeded at any instant",
        inject=limits,
        full=5,
        short=1,
        schedulers=3,
        workers=4,
    )
]
