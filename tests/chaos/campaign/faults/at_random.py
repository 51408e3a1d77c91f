"""Everything at random, seeded, one blow after the other without waiting for the last one's end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from django.db import DatabaseError

from tasks_app.fields import NewTask
from tests.chaos.campaign.campaign import Campaign, Fault
from tests.chaos.campaign.effects import MARK
from tests.chaos.campaign.faults.database import SHORT_ENOUGH
from tests.chaos.campaign.faults.kills import NOTICED
from tests.chaos.campaign.faults.tasks import FORK_BOMB, HOSTILE, POISON, SETSID, TIMEOUT_MS
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import LEASE, Incarnation
from tests.chaos.campaign.load import Kind

#: The most seconds between two blows.
PAUSE = 2.0


def at_random(campaign: Campaign, found: Findings) -> None:
    end = time.monotonic() + campaign.seconds
    blows = Blows(campaign)
    while time.monotonic() < end:
        name, blow = campaign.chance.choice(blows.all())
        blow()
        found.counts[name] += 1
        time.sleep(campaign.chance.uniform(0.1, PAUSE))  # part of the seeded story
        campaign.installation.start_missing()
    blows.wait()
    campaign.installation.heal()
    try:
        blows.await_poison()
    finally:
        campaign.struck |= blows.struck_by_poison()


class Blows:
    """What can be done, each in an instant."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._installation = campaign.installation
        self._timers: list[threading.Timer] = []
        self._poison: list[UUID] = []
        self._database_struck_at = 0.0

    def all(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return [
            ("kill worker", self.kill_worker),
            ("kill guardian", self.kill_guardian),
            ("kill both", self.kill_both),
            ("stop worker", self.stop_worker),
            ("stop both", self.stop_both),
            ("terminate worker", self.terminate_worker),
            ("kill scheduler", self.kill_scheduler),
            ("stop scheduler", self.stop_scheduler),
            ("restart database", self.restart_database),
            ("kill backend", self.kill_backend),
            ("poison", self.poison),
            ("fork bomb", self.fork_bomb),
            ("setsid children", self.setsid_children),
        ]

    def wait(self) -> None:
        for timer in self._timers:
            timer.join()

    def await_poison(self) -> None:
        """Wait until all of it has ended; after many blows there are hundreds of suspects, which go one to a worker."""
        unfinished = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND finished_at IS NULL"
        self._campaign.until(lambda: self._installation.ask_one(unfinished, self._poison) == 0, timeout=240)

    def struck_by_poison(self) -> set[UUID]:
        """The workers that poison has taken down."""
        query = "SELECT worker_id FROM task_executions WHERE task_id = ANY(%s) AND status = 'LOST'"
        return {row[0] for row in self._installation.ask(query, self._poison)}

    def kill_worker(self) -> None:
        if victim := self._victim():
            _signal(victim.pid, signal.SIGKILL)

    def kill_guardian(self) -> None:
        if victim := self._victim():
            self._installation.kill(victim.node)

    def kill_both(self) -> None:
        if victim := self._victim():
            self._installation.kill(victim.node)
            _signal(victim.pid, signal.SIGKILL)

    def stop_worker(self) -> None:
        if victim := self._victim():
            self._freeze(self._seconds(1, 2 * LEASE), victim.pid)

    def stop_both(self) -> None:
        if victim := self._victim():
            self._campaign.frozen[victim.pid] = time.time()
            self._freeze(self._seconds(NOTICED, NOTICED + LEASE), victim.node.pid, victim.pid)

    def terminate_worker(self) -> None:
        if victim := self._victim():
            victim.node.hit = True
            victim.node.program.send(signal.SIGTERM)

    def kill_scheduler(self) -> None:
        self._installation.kill(self._campaign.chance.choice(self._installation.schedulers))

    def stop_scheduler(self) -> None:
        self._freeze(self._seconds(1, 2 * LEASE), self._campaign.chance.choice(self._installation.schedulers).pid)

    def restart_database(self) -> None:
        self._strike_database(self._stop_and_start)

    def kill_backend(self) -> None:
        self._strike_database(lambda: self._installation.kill_backend(self._campaign.chance))

    def poison(self) -> None:
        self._create(POISON, NewTask(type="CHAOS_POISON", correlation_id=MARK))

    def fork_bomb(self) -> None:
        self._create(HOSTILE, self._campaign.load.shell(FORK_BOMB, timeout_ms=TIMEOUT_MS, max_retries=0))

    def setsid_children(self) -> None:
        self._create(HOSTILE, self._campaign.load.shell(SETSID, timeout_ms=TIMEOUT_MS, max_retries=0))

    def _victim(self) -> Incarnation | None:
        """Some living worker, and what must be expected of it from now on; None while there is none."""
        if not (workers := self._installation.incarnations()):
            return None
        victim = self._campaign.chance.choice(workers)
        self._campaign.strike(victim)
        return victim

    def _seconds(self, low: float, high: float) -> float:
        return self._campaign.chance.uniform(low, high)

    def _freeze(self, seconds: float, *pids: int) -> None:
        """Stop processes, and let them go on later."""
        with suppress(ProcessLookupError):
            for pid in pids:
                self._installation.freeze(pid)
        timer = threading.Timer(seconds, self._installation.thaw, pids)
        timer.start()
        self._timers.append(timer)

    def _strike_database(self, act: Callable[[], None]) -> None:
        """Hit the server; it may cost leases when it is away for long, or again before every worker has beaten."""
        workers = self._installation.incarnations()
        at = time.time()
        soon_again = at - self._database_struck_at < LEASE
        act()
        self._installation.session.close()
        self._installation.ask("SELECT 1")
        self._database_struck_at = time.time()
        if soon_again or self._database_struck_at - at > SHORT_ENOUGH:
            self._campaign.strike(*workers)

    def _stop_and_start(self) -> None:
        with self._installation.database_stopped():
            pass

    def _create(self, kind: Kind, new: NewTask) -> None:
        try:
            ids = self._campaign.load.create(kind, [new])
        except DatabaseError:  # it has just been struck
            return
        self._poison += ids if kind is POISON else []


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


FAULTS = [
    Fault(
        name="random",
        title="everything above at random (full: 20 min, short: 1 min)",
        target="all invariants hold",
        inject=at_random,
        full=1,
        short=1,
        schedulers=3,
        workers=4,
    )
]
