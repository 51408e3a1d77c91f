"""What limits how many tasks a pass may give away: names of budgets. Pure.

Of queues: ``queue`` (its limit) and ``rate`` (tokens of its rate); of targets ``target`` and ``target rate``; of
concurrency keys ``key rate``. How many tasks are left of each is found by ``locking.py``.
"""

from __future__ import annotations

from typing import Final

#: Its kind, and the name of what has the limit.
Budget = tuple[str, str]

#: The kinds that are tokens of rates. One must not lie in a worker's prefetch.
RATES: Final = frozenset({"rate", "target rate", "key rate"})


def key_rate(queue: str, key: str) -> Budget:
    """The tokens of a concurrency key. Names of queues have no blanks."""
    return "key rate", f"{queue} {key}"
