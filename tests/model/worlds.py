"""The worlds that are searched to the last state: which things there are, and what may go wrong with them.

One world with everything in it would have more states than can be looked at. Each of these has what interacts.
"""

from __future__ import annotations

from typing import Any, Final

from tests.model.state import Constants


def _world(**constants: Any) -> Constants:
    return Constants(**{"max_attempts": 2} | constants)


#: Seconds: `make chaos` looks through these, every run of the tests through the `QUICK` ones.
SMALL: Final = {
    "a worker that restarts": _world(hosts=1, crashes=True, breaks=True),
    "a worker and its troubles": _world(
        hosts=1, incarnations=1, crashes=True, losses=True, breaks=True, cancels=True, drains=True
    ),
    "a worker that drains": _world(hosts=1, clock=False, crashes=True, losses=True, drains=True, cancels=True),
    "a failover and a lease": _world(hosts=1, incarnations=1, failovers=True),
    "a failover and two workers": _world(incarnations=1, slots=2, clock=False, failovers=True),
    "two workers, two tasks": _world(incarnations=1, tasks=2, prefetch=1, clock=False, crashes=True, losses=True),
    "one key": _world(incarnations=1, tasks=2, clock=False, shared_key=True, cancels=True),
}

#: A second each; with those of the variants they take every step.
QUICK: Final = ("a worker and its troubles", "a worker that drains", "one key")

#: Minutes: `python -m tests.model --size large`.
LARGE: Final = {
    "a worker that restarts, lost messages": _world(hosts=1, crashes=True, losses=True, breaks=True, cancels=True),
    "two workers": _world(incarnations=1, crashes=True, losses=True, breaks=True, cancels=True),
    "two workers that drain": _world(incarnations=1, drains=True, failures=False),
    "two workers that restart": _world(max_attempts=3, clock=False, crashes=True, losses=True),
    "two workers, two tasks, drains": _world(
        incarnations=1, tasks=2, prefetch=1, clock=False, crashes=True, losses=True, drains=True
    ),
    "a failover, lost replies, crashes": _world(incarnations=1, clock=False, failovers=True, crashes=True, losses=True),
    "a failover, lost replies, two slots": _world(incarnations=1, slots=2, clock=False, failovers=True, losses=True),
    "a long lease": _world(hosts=1, lease=5, crashes=True, losses=True),
}
