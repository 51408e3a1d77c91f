"""kill -9 of a worker, of its guardian, of both."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.campaign.campaign import Campaign, Fault, Limit
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import BEAT, LEASE, TICK, Incarnation

WORKERS = 4  # in turn, so that each has lived a while: a guardian delays the restart of a worker that died young
NOTICED = 2 * LEASE + 2 * TICK
NOTICED_SOON = 2 * BEAT + 2 * TICK


def kill_worker(campaign: Campaign, found: Findings) -> None:
    victim = choose(campaign)
    children = victim.descendants()
    found.counts["RUNNING just before"] += campaign.running_on(victim)
    at = time.time()
    os.kill(victim.pid, signal.SIGKILL)
    campaign.watch_death(found, victim, at, children, within=0)


def kill_guardian(campaign: Campaign, found: Findings) -> None:
    _kill_guardian(campaign, found, worker_too=False)


def kill_both(campaign: Campaign, found: Findings) -> None:
    _kill_guardian(campaign, found, worker_too=True)


def kill_both_watched(campaign: Campaign, found: Findings) -> None:
    """Where the lock of a worker counts, once all schedulers have watched it for a lease."""
    watched = "SELECT min(now() - started_at) > %s * interval '1 s' FROM scheduler_heartbeats WHERE stopped_at IS NULL"
    campaign.until(lambda: campaign.installation.ask_one(watched, LEASE + 2 * TICK), timeout=30)
    kill_both(campaign, found)


def _kill_guardian(campaign: Campaign, found: Findings, *, worker_too: bool) -> None:
    victim = choose(campaign)
    children = victim.descendants()
    found.counts["RUNNING just before"] += campaign.running_on(victim)
    at = time.time()
    campaign.installation.kill(victim.node)
    if worker_too:
        os.kill(victim.pid, signal.SIGKILL)
    campaign.installation.start_missing()
    campaign.watch_death(found, victim, at, children, within=0)


def choose(campaign: Campaign) -> Incarnation:
    """The worker that has lived longest, ready to be struck."""
    workers = campaign.installation.incarnations()
    query = "SELECT worker_id FROM worker_heartbeats WHERE worker_id = ANY(%s) ORDER BY started_at LIMIT 1"
    oldest = campaign.installation.ask_one(query, [worker.worker_id for worker in workers])
    [victim] = [worker for worker in workers if worker.worker_id == oldest]
    campaign.strike(victim)
    return victim


FAULTS = [
    Fault(
        name="kill-worker",
        title="kill -9 of a worker",
        target="running again p99 ≤ 1 s",
        inject=kill_worker,
        full=70,
        short=8,
        limits={"running again": Limit(0.99, 1.0), "moved on": Limit(0.99, 1.0)},
        workers=WORKERS,
    ),
    Fault(
        name="kill-guardian",
        title="kill -9 of a guardian; its worker dies with it",
        target="running again p99 ≤ 2 leases + 2 ticks",
        inject=kill_guardian,
        full=65,
        short=6,
        limits={"running again": Limit(0.99, NOTICED), "moved on": Limit(0.99, NOTICED)},
        workers=WORKERS,
    ),
    Fault(
        name="kill-both",
        title="kill -9 of guardian and worker",
        target="running again p99 ≤ 2 leases + 2 ticks",
        inject=kill_both,
        full=65,
        short=6,
        limits={"running again": Limit(0.99, NOTICED), "moved on": Limit(0.99, NOTICED)},
        workers=WORKERS,
    ),
    Fault(
        name="kill-both-watched",
        title="kill -9 of guardian and worker, `WORKER_FAST_DEATH_ENABLED`",
        target="running again p99 ≤ 2 beats + 2 ticks",
        inject=kill_both_watched,
        full=65,
        short=6,
        limits={"running again": Limit(0.99, NOTICED_SOON), "moved on": Limit(0.99, NOTICED_SOON)},
        workers=WORKERS,
        environment={"WORKER_FAST_DEATH_ENABLED": "true"},
    ),
]
