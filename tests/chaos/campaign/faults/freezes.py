"""SIGSTOP beyond the lease, then SIGCONT: of a worker alone, and of a worker with its guardian."""

from __future__ import annotations

import time

import psutil

from tests.chaos.campaign.campaign import Campaign, Fault, Limit
from tests.chaos.campaign.faults.kills import NOTICED, WORKERS, choose
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import BEAT, LEASE
from tests.chaos.campaign.load import SLEEPING

#: A worker that wakes up this long before its guardian has time to write what it should not.
AHEAD = 0.5
DEAD = "SELECT count(*) FROM worker_heartbeats WHERE worker_id = %s AND state = 'DEAD'"


def stop_worker(campaign: Campaign, found: Findings) -> None:
    """Its guardian must have killed the whole tree before the lease ends, which was renewed before the stop."""
    victim = choose(campaign)
    tree = [psutil.Process(victim.pid), *victim.descendants()]
    at = time.time()
    campaign.installation.freeze(victim.pid)
    dead = campaign.until(lambda: not any(process.is_running() for process in tree), timeout=LEASE + 10)
    found.times["tree dead"].append(dead - at)
    found.expect(dead - at < LEASE, f"the tree was dead after {dead - at:.2f} s only")
    campaign.installation.thaw(victim.pid)
    campaign.watch_death(found, victim, at, tree, within=LEASE)


def stop_both(campaign: Campaign, found: Findings) -> None:
    """Nobody is left to kill it: others take its tasks, and what it writes when it is back must change nothing."""
    installation = campaign.installation
    campaign.load.create(SLEEPING, [campaign.load.effect(SLEEPING, seconds=3) for _ in range(8)])
    victim = choose(campaign)
    children = victim.descendants()
    installation.freeze(victim.node.pid)
    at = campaign.frozen[victim.pid] = time.time()
    installation.freeze(victim.pid)
    installation_sees = campaign.until(lambda: installation.ask_one(DEAD, victim.worker_id), timeout=NOTICED + 10)
    found.times["marked dead"].append(installation_sees - at)
    campaign.watch_death(found, victim, at, [], within=NOTICED)
    installation.thaw(victim.pid)
    if campaign.chance.random() < 0.5:
        time.sleep(AHEAD)  # part of the seeded story
    back = time.time()
    installation.thaw(victim.node.pid)
    campaign.until(lambda: installation.incarnation(victim.node) not in (None, victim), timeout=20)
    found.times["back"].append(time.time() - back)
    campaign.until(lambda: not any(child.is_running() for child in children), timeout=5)


FAULTS = [
    Fault(
        name="stop-worker",
        title="SIGSTOP of a worker beyond its lease",
        target="tree dead before the lease ends, no overlap",
        inject=stop_worker,
        full=25,
        short=3,
        limits={"tree dead": Limit(1, LEASE)},
        workers=WORKERS,
    ),
    Fault(
        name="stop-both",
        title="SIGSTOP of worker and guardian beyond the lease, SIGCONT",
        target="late writes kept as late, back as a new incarnation ≤ 2 beats",
        inject=stop_both,
        full=25,
        short=2,
        limits={"back": Limit(1, 2 * BEAT), "running again": Limit(1, NOTICED)},
        workers=WORKERS,
    ),
]
