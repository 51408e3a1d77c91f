"""PostgreSQL gone: for a moment, for long, for longer than a lease; and a backend killed, which ends all sessions."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.chaos.campaign.campaign import Campaign, Fault, Limit
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import BEAT, LEASE, MARGIN
from tests.chaos.campaign.load import SLEEPING

#: The last beat is up to one interval old when the server goes, and the next is up to one interval after it is back.
SHORT_ENOUGH = LEASE - MARGIN - 2 * BEAT
RESUMES = 3.0
LONG_LEASE = 30.0
AWAY = 20.0

_TAKEN = "SELECT count(*) FROM task_executions WHERE status = ANY(%s) AND finished_at >= to_timestamp(%s)"


def restart(campaign: Campaign, found: Findings) -> None:
    """Stopped in immediate mode and started again at once."""

    def act() -> None:
        with campaign.installation.database_stopped():
            pass

    _strike_database(campaign, found, act)


def kill_backend(campaign: Campaign, found: Findings) -> None:
    _strike_database(campaign, found, lambda: campaign.installation.kill_backend(campaign.chance))


def away_within_lease(campaign: Campaign, found: Findings) -> None:
    """Tasks that end meanwhile wait with their results; nothing is run again."""
    _be_away(campaign, found, AWAY, long_tasks=[5.0, 15.0, 25.0])


def away_beyond_lease(campaign: Campaign, found: Findings) -> None:
    """Each worker drops its work in time, says so when the database is back, and lives on as another incarnation."""
    workers = campaign.installation.incarnations()
    campaign.strike(*workers)
    at = _be_away(campaign, found, 2 * LEASE, long_tasks=[12.0] * 6)
    old = [worker.worker_id for worker in workers]
    alive = "SELECT count(*) FROM worker_heartbeats WHERE worker_id = ANY(%s) AND state = 'ACTIVE'"
    campaign.until(lambda: campaign.installation.ask_one(alive, old) == 0, timeout=2 * LEASE)
    lost, released = (campaign.installation.ask_one(_TAKEN, [status], at) for status in ("LOST", "RELEASED"))
    found.counts["given back"] += released
    found.expect(released, "nothing was given back, though tasks ran when the lease ended")
    found.expect(not lost, f"{lost} aborts were recorded LOST, not RELEASED")


def _strike_database(campaign: Campaign, found: Findings, act: Callable[[], None]) -> None:
    """Hit the server, and hold what happens against: no process exits, no worker loses a task, work resumes."""
    installation = campaign.installation
    before, pids = installation.incarnations(), [node.pid for node in installation.nodes]
    at = time.time()
    act()
    installation.session.close()
    installation.ask("SELECT 1")
    back = time.time()
    found.times["away"].append(back - at)
    if back - at > SHORT_ENOUGH:  # the machine was too slow: this was another fault
        found.counts["away for too long"] += 1
        campaign.strike(*before)
    started = "SELECT count(*) FROM task_executions WHERE started_at > to_timestamp(%s)"
    resumed = campaign.until(lambda: installation.ask_one(started, back), timeout=30)
    found.times["resumes"].append(resumed - back)
    found.expect([node.pid for node in installation.nodes if node.program.status is None] == pids, "a process exited")
    campaign.steady()
    if back - at <= SHORT_ENOUGH:
        after = {incarnation.worker_id for incarnation in installation.incarnations()}
        gone = [worker.node.name for worker in before if worker.worker_id not in after]
        found.expect(not gone, f"after {back - at:.2f} s without a database {gone} came back as others")


def _be_away(campaign: Campaign, found: Findings, seconds: float, *, long_tasks: list[float]) -> float:
    """Stop the server for ``seconds`` while long tasks run; return when."""
    installation = campaign.installation
    ids = campaign.load.create(SLEEPING, [campaign.load.effect(SLEEPING, seconds=s) for s in long_tasks])
    running = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND status = 'RUNNING'"
    campaign.until(lambda: installation.ask_one(running, ids) == len(ids), timeout=20)
    at = time.time()
    with installation.database_stopped():
        time.sleep(seconds)  # the fault itself
    installation.session.close()
    installation.ask("SELECT 1")
    back = time.time()
    found.times["away"].append(back - at)
    started = "SELECT count(*) FROM tasks WHERE started_at > to_timestamp(%s)"
    found.times["resumes"].append(campaign.until(lambda: installation.ask_one(started, back), timeout=60) - back)
    return at


FAULTS = [
    Fault(
        name="restart-database",
        title="PostgreSQL stopped -m immediate, back within the lease less its margin",
        target="no process exits, no live worker loses a task, work resumes ≤ 3 s",
        inject=restart,
        full=35,
        short=3,
        limits={"resumes": Limit(1, RESUMES)},
    ),
    Fault(
        name="kill-backend",
        title="kill -9 of one backend",
        target="no process exits, no live worker loses a task, work resumes ≤ 3 s",
        inject=kill_backend,
        full=15,
        short=2,
        limits={"resumes": Limit(1, RESUMES)},
    ),
    Fault(
        name="away-beyond-lease",
        title="database away for two leases",
        target="every abort recorded RELEASED, no overlap, no retry or crash counted",
        inject=away_beyond_lease,
        full=5,
        short=1,
    ),
    Fault(
        name="away-within-lease",
        title="database away for 20 s under a lease of 30 s",
        target="all results land, nothing runs again",
        inject=away_within_lease,
        full=5,
        short=1,
        environment={"WORKER_HEARTBEAT_TIMEOUT_MS": f"{LONG_LEASE * 1000:.0f}"},
    ),
]
