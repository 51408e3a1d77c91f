"""The faults by name. Another one is a function and an entry in its module's ``FAULTS``; a new module is named here."""

from __future__ import annotations

from tests.chaos.campaign.campaign import Fault
from tests.chaos.campaign.faults import (
    at_random,
    database,
    freezes,
    kills,
    limits,
    restarts,
    schedulers,
    snapshots,
    tasks,
)

MODULES = (kills, freezes, schedulers, restarts, tasks, snapshots, database, at_random, limits)
FAULTS: dict[str, Fault] = {fault.name: fault for module in MODULES for fault in module.FAULTS}
