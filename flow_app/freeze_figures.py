"""How many tasks freezes are about: for pages and figures. Read only, and always bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from access_app.sql import statement
from flow_app.figures import LEAST_COUNTED, read_rows

#: So many waiting tasks are looked at in each index.
MOST_COUNTED: Final = 10_000
#: Queues that are named, those with most tasks.
MOST_QUEUES: Final = 100

# Of each queue so many tasks of the due index are looked at, in its order; none while no freeze is open but of queues.
# Index: tasks_due.
_UNPARKED = """
SELECT n.name, count(*) FILTER (WHERE t.run_at <= now())::int AS due,
       count(*) FILTER (WHERE t.run_at > now())::int AS soon
  FROM unnest(%(names)s::text[]) AS n(name)
  CROSS JOIN LATERAL (
    SELECT run_at, type, target FROM tasks
     WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
       AND queue = n.name
     ORDER BY queue, priority DESC, run_at, id
     LIMIT %(limit)s) AS t
 WHERE EXISTS (SELECT FROM open_freezes WHERE types <> '{}' OR targets <> '{}')
   AND t.run_at <= now() + make_interval(secs => %(horizon)s) AND is_frozen(t.type, t.target)
 GROUP BY n.name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Tasks that have not ended, by status and by queue; lower bounds when ``at_least``."""

    by_status: dict[str, int]
    by_queue: dict[str, int]
    at_least: bool


class Unparked(NamedTuple):
    """Frozen tasks of a queue that no pass has met yet, as while there is no worker: due, and due soon."""

    due: int
    soon: int


def measure_unparked(names: Sequence[str], *, horizon: timedelta) -> dict[str, Unparked]:
    """Those of these queues where there are some, as far as is looked."""
    limit = MOST_COUNTED // max(1, len(names))
    asked = {"names": list(names), "limit": max(LEAST_COUNTED, limit), "horizon": horizon.total_seconds()}
    return {row["name"]: Unparked(row["due"], row["soon"]) for row in read_rows(_UNPARKED, asked)}


def measure_frozen(
    *, queues: Collection[str] = (), targets: Collection[str] = (), types: Collection[str] = ()
) -> Affected:
    """What a freeze of these is about, whether there is one or not."""
    asked = {"queues": list(queues), "targets": list(targets), "types": list(types), "limit": MOST_COUNTED}
    statuses: Counter[str] = Counter()
    found: Counter[str] = Counter()
    capped = False
    for row in read_rows(statement("measure_frozen"), asked):
        statuses[row["status"]] += row["tasks"]
        found[row["queue"]] += row["tasks"]
        capped = row["capped"]
    return Affected(by_status=dict(statuses), by_queue=dict(found.most_common(MOST_QUEUES)), at_least=capped)
