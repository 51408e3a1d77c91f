"""How many workers would help now: what could start at once if there were slots, and what holds the rest back.

For autoscalers. Tasks that a pause, a limit, a key or another gate holds are not demand: no worker helps them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from django.db import connection

from flow_app import figures
from flow_app.figures import Figures
from flow_app.models import Queue
from tasks_app.states import Gate

#: Most queues that are looked at when none is named.
MOST_QUEUES: Final = 1000
#: Slots of a worker, while none is alive to go by: the default of ``runworker``.
USUAL_SLOTS: Final = 16
#: What `why` calls the gates.
CODES: Final = {Gate.KEY.name: "KEY_LIMIT", Gate.RATE.name: "RATE_LIMIT", Gate.TARGET.name: "TARGET_LIMIT"}

# Not the ORM: the table is an upper app's.
_WORKERS = """
SELECT count(*), coalesce(sum(slots), 0) FROM worker_heartbeats
 WHERE state = 'ACTIVE' AND labels @> %(labels)s::jsonb
   AND (queues IS NULL OR %(queues)s::text[] IS NULL OR queues && %(queues)s::text[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Of some queues, and of the workers that serve them. ``at_least``: there is more than was counted."""

    slots: int
    running: int = 0
    startable: int = 0
    soon: int = 0
    blocked: Mapping[str, int] = field(default_factory=dict)
    workers_wanted: int = 0
    at_least: bool = False


def read_demand(*, queues: Sequence[str] | None, labels: Mapping[str, str], horizon: timedelta) -> Demand:
    """The demand of these queues, or of all in use, and what falls due within the horizon.

    ``labels``: workers that have all of these are meant. Bounded as the figures of queues are.
    """
    names = figures.find_queues(most=MOST_QUEUES + 1) if queues is None else sorted(set(queues))
    looked_at = names[:MOST_QUEUES]
    with connection.cursor() as cursor:
        cursor.execute(
            _WORKERS,
            {"labels": json.dumps(dict(labels)), "queues": None if queues is None else list(queues)},
        )
        workers, slots = cursor.fetchone()
    found = demand(
        figures.rows_of(looked_at), figures.measure_deeply(looked_at, horizon=horizon), workers=workers, slots=slots
    )
    return found if looked_at == names else replace(found, at_least=True)


def demand(rows: Iterable[Queue], measured: Mapping[str, Figures], *, workers: int, slots: int) -> Demand:
    """What the figures of queues come to. Pure."""
    running = startable = soon = 0
    blocked: Counter[str] = Counter()
    for queue in rows:
        found = measured[queue.name]
        running += found.scheduled + found.running
        due = found.due - found.behind_keys
        starts, reason = _room(queue, found, due + found.soon)
        startable += min(due, starts)
        soon += min(found.soon, max(0, starts - due))
        blocked[CODES[Gate.KEY.name]] += found.behind_keys
        blocked[reason] += max(0, due - starts)
        blocked.update({CODES.get(gate, gate): count for gate, count in found.gates.items()})
    each = slots / workers if workers and slots else USUAL_SLOTS
    return Demand(
        slots=slots,
        running=running,
        startable=startable,
        soon=soon,
        blocked={code: count for code, count in sorted(blocked.items()) if count},
        workers_wanted=math.ceil((running + startable + soon) / each),
        at_least=any(each.at_least for each in measured.values()),
    )


def _room(queue: Queue, found: Figures, wanted: int) -> tuple[int, str]:
    """How many more of its tasks may start, and what holds the others."""
    if queue.is_paused:
        return 0, "QUEUE_PAUSED"
    rooms = [(wanted, "")]
    if (most := queue.max_concurrency) is not None:
        rooms.append((max(0, most - found.scheduled - found.running), "QUEUE_LIMIT" if most else "QUEUE_CLOSED"))
    if queue.rate_limit and queue.rate_period:
        # What may start within a second: more workers than that takes would only be idle.
        rooms.append((math.ceil(queue.rate_limit / queue.rate_period) + (queue.rate_burst or 0), "RATE_LIMIT"))
    return min(rooms)
