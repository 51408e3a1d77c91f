"""The workloads, in the order in which they run. Each is a file of its own. Import this when Django is set up."""

from __future__ import annotations

from tests.bench.workloads import w1_drain, w3_pickup, w5_idle

WORKLOADS = {module.WORKLOAD.name: module.WORKLOAD for module in (w1_drain, w3_pickup, w5_idle)}
