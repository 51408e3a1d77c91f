"""kill -9 and SIGSTOP of schedulers, one or two of three."""

from __future__ import annotations

import time

from tests.chaos.campaign.campaign import Campaign, Fault, Limit
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import Node

GOES_ON = 5.0
WATCH = 3.0
FROZEN = 4.0


def kill_schedulers(campaign: Campaign, found: Findings) -> None:
    at = time.time()
    for victim in _victims(campaign):
        campaign.installation.kill(victim)
    _watch(campaign, found, at, WATCH)


def stop_schedulers(campaign: Campaign, found: Findings) -> None:
    at = time.time()
    victims = _victims(campaign)
    for victim in victims:
        campaign.installation.freeze(victim.pid)
    time.sleep(FROZEN)  # the fault itself, not a wait for anything
    campaign.installation.thaw(*(victim.pid for victim in victims))
    _watch(campaign, found, at, FROZEN)


def _victims(campaign: Campaign) -> list[Node]:
    return campaign.chance.sample(campaign.installation.schedulers, campaign.chance.randint(1, 2))


def _watch(campaign: Campaign, found: Findings, at: float, seconds: float) -> None:
    """The longest time without a start, once the tasks started in that time have ended."""
    campaign.until(lambda: time.time() >= at + seconds, timeout=seconds + 1)
    until = at + seconds
    campaign.until(lambda: campaign.starts(until, time.time()), timeout=GOES_ON + 10)
    found.times["no start for"].append(campaign.longest_gap(at, time.time()))


FAULTS = [
    Fault(
        name="kill-scheduler",
        title="kill -9 of one or two of three schedulers",
        target="work goes on ≤ 5 s, no double start",
        inject=kill_schedulers,
        full=50,
        short=5,
        limits={"no start for": Limit(1, GOES_ON)},
        schedulers=3,
    ),
    Fault(
        name="stop-scheduler",
        title="SIGSTOP of one or two of three schedulers",
        target="work goes on ≤ 5 s, no double start",
        inject=stop_schedulers,
        full=50,
        short=5,
        limits={"no start for": Limit(1, GOES_ON)},
        schedulers=3,
    ),
]
