"""SIGTERM under load: four workers restarted one after the other."""

from __future__ import annotations

import signal
import time

from tests.chaos.campaign.campaign import Campaign, Fault, Limit
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import GRACE, Incarnation
from tests.chaos.campaign.load import SLEEPING

LONGER_THAN_GRACE = 8.0


def rolling_restart(campaign: Campaign, found: Findings) -> None:
    campaign.load.create(SLEEPING, [campaign.load.effect(SLEEPING, seconds=LONGER_THAN_GRACE) for _ in range(4)])
    for worker in campaign.installation.incarnations():
        restart(campaign, found, worker)
        campaign.installation.heal()


def restart(campaign: Campaign, found: Findings, worker: Incarnation) -> None:
    """Stop one worker; what it gives back must be longer than the grace, and use up nothing."""
    installation = campaign.installation
    campaign.strike(worker)
    at = time.time()
    worker.node.hit = True
    worker.node.program.send(signal.SIGTERM)
    status = worker.node.program.wait(GRACE + 15)
    found.times["stopped"].append(time.time() - at)
    found.expect(status == 0, f"exit status {status} of a worker told to stop")
    left = "SELECT count(*) FROM tasks WHERE worker_id = %s AND finished_at IS NULL"
    found.expect(not installation.ask_one(left, worker.worker_id), "a stopped worker owns tasks")
    given_back = (
        "SELECT (t.payload->>'seconds')::float8 FROM task_executions x JOIN tasks t ON t.id = x.task_id"
        " WHERE x.worker_id = %s AND x.status = 'RELEASED'"
    )
    for (seconds,) in installation.ask(given_back, worker.worker_id):
        found.counts["given back"] += 1
        found.expect(seconds is not None and seconds > GRACE, f"a task of {seconds} s was given back")


FAULTS = [
    Fault(
        name="rolling-restart",
        title="SIGTERM under load: rolling restart of 4 workers",
        target="exit 0 within the grace, no retry used, nothing shorter than the grace repeated",
        inject=rolling_restart,
        full=50,
        short=4,
        limits={"stopped": Limit(1, GRACE)},
        workers=4,
    ),
]
