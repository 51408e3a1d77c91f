"""The workloads, in the order in which they run. Each is a file of its own. Import this when Django is set up."""

from __future__ import annotations

from tests.bench.workloads import (
    batches,
    blocked,
    bulk,
    ceiling,
    dependencies,
    lateness,
    listeners,
    mix,
    pressure,
    rules,
    schedules,
    shares,
    snapshot,
    soak,
    stages,
    w1_drain,
    w2_create,
    w3_pickup,
    w4_backlog,
    w5_idle,
    workers,
)

_ORDER = (
    ceiling,
    w1_drain,
    w2_create,
    w3_pickup,
    stages,
    lateness,
    w4_backlog,
    workers,
    listeners,
    snapshot,
    w5_idle,
    mix,
    dependencies,
    bulk,
    batches,
    pressure,
    schedules,
    shares,
    blocked,
    rules,
    soak,
)
WORKLOADS = {module.WORKLOAD.name: module.WORKLOAD for module in _ORDER}
