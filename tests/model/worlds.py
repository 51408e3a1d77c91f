"""The worlds that are looked through to the last state: which things there are, and what may go wrong with them.

One world with everything in it would have more states than can be looked at. Each of these has what interacts.
"""

from __future__ import annotations

from typing import Any, Final

from tests.model.state import Constants


def _world(**constants: Any) -> Constants:
    return Constants(**{"max_attempts": 2} | constants)


#: Seconds: every run of the tests looks through these.
SMALL: Final = {
    "a worker that restarts": _world(hosts=1, crashes=True, losses=True, breaks=True),
    "a failover and a lease": _world(hosts=1, incarnations=1, failovers=True),
    "a failover and two workers": _world(incarnations=1, clock=False, failovers=True),
    "two tasks, crashes, lost replies": _world(incarnations=1, tasks=2, clock=False, crashes=True, losses=True),
    "two tasks with one key, cancels": _world(incarnations=1, tasks=2, clock=False, shared_key=True, cancels=True),
}

#: Minutes: `python -m tests.model --size large`.
LARGE: Final = {
    "two workers, everything but failover": _world(
        incarnations=1, crashes=True, losses=True, breaks=True, cancels=True, drains=True
    ),
    "two workers that restart, two tasks": _world(tasks=2, max_attempts=3, clock=False, crashes=True, losses=True),
    "two workers, a failover and leases": _world(incarnations=1, failovers=True),
    "a long lease": _world(hosts=1, lease=5, margin=1, crashes=True, losses=True),
}
