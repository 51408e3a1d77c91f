"""How many workers would help now: what could start at once if there were slots, and what holds the rest back.

For autoscalers. Tasks that a pause, a freeze, a limit, a key or another gate holds are not demand: no worker helps
them. Nor are those that require labels which the workers that are meant do not have, or more slots.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db import connection

from access_app.sql import statement
from flow_app import figures
from flow_app.figures import Figures
from flow_app.freeze_figures import Unparked, measure_unparked
from flow_app.models import Queue
from tasks_app.states import Gate

#: Most queues that are looked at.
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


class Needy(NamedTuple):
    """Tasks of a queue that need the same of their worker. ``code``: why workers that are meant cannot run them."""

    queue: str
    slots: int
    due: int
    soon: int
    code: str | None


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
    looked_at, are_all = figures.find_some(most=MOST_QUEUES) if queues is None else _first(queues)
    with connection.cursor() as cursor:
        cursor.execute(
            _WORKERS,
            {"labels": json.dumps(dict(labels)), "queues": None if queues is None else list(queues)},
        )
        workers, slots = cursor.fetchone()
    measured = figures.measure_deeply(looked_at, horizon=horizon)
    needy = measure_needs(looked_at, labels=labels, horizon=horizon)
    frozen = measure_unparked(looked_at, horizon=horizon)
    found = demand(figures.rows_of(looked_at), measured, workers=workers, slots=slots, needy=needy, frozen=frozen)
    return found if are_all else replace(found, at_least=True)


def _first(queues: Iterable[str]) -> tuple[list[str], bool]:
    """The first of the queues that were asked for, and whether these are all."""
    names = sorted(set(queues))
    return names[:MOST_QUEUES], len(names) <= MOST_QUEUES


def measure_needs(names: Sequence[str], *, labels: Mapping[str, str], horizon: timedelta) -> list[Needy]:
    """What waits in these queues that needs something of its worker, and whether workers with such labels have it."""
    parameters: dict[str, Any] = {
        "names": list(names),
        "labels": json.dumps(dict(labels)),
        "horizon": horizon.total_seconds(),
        "limit": figures.MOST_COUNTED,
        "slots": USUAL_SLOTS,
    }
    return [Needy(**row) for row in figures.read_rows(statement("measure_needs"), parameters)]


def demand(
    rows: Iterable[Queue],
    measured: Mapping[str, Figures],
    *,
    workers: int,
    slots: int,
    needy: Iterable[Needy] = (),
    frozen: Mapping[str, Unparked] = MappingProxyType({}),
) -> Demand:
    """What the figures of queues come to. Pure."""
    running = startable = soon = 0
    wanted = 0.0
    blocked: Counter[str] = Counter()
    lines: dict[str, list[Needy]] = defaultdict(list)
    for line in needy:
        lines[line.queue].append(line)
    for queue in rows:
        thawed = _without_frozen(measured[queue.name], frozen.get(queue.name), blocked)
        found, each_takes = _without_unable(thawed, lines[queue.name], blocked)
        running += found.scheduled + found.running
        due = max(0, found.due - found.behind_keys)
        starts, reason = _room(queue, found, due + found.soon)
        startable += min(due, starts)
        soon += min(found.soon, max(0, starts - due))
        wanted += max(found.owned_slots, found.scheduled + found.running) + min(due + found.soon, starts) * each_takes
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
        workers_wanted=math.ceil(round(wanted / each, 6)),
        at_least=any(each.at_least for each in measured.values()),
    )


def _without_frozen(found: Figures, frozen: Unparked | None, blocked: Counter[str]) -> Figures:
    """Figures of a queue without what is frozen and no pass has met yet, which is ``blocked``."""
    if frozen is None:
        return found
    blocked[Gate.FREEZE.name] += min(frozen.due, found.due)
    return replace(found, due=max(0, found.due - frozen.due), soon=max(0, found.soon - frozen.soon))


def _without_unable(found: Figures, needy: Iterable[Needy], blocked: Counter[str]) -> tuple[Figures, float]:
    """Figures of a queue without what no worker could run, which is ``blocked``, and the slots of one of the rest."""
    due, soon, more = found.due, found.soon, 0
    for each in needy:
        if each.code is not None:
            due, soon = max(0, due - each.due), max(0, soon - each.soon)
            blocked[each.code] += each.due
        else:
            more += (each.slots - 1) * (each.due + each.soon)
    return replace(found, due=due, soon=soon), 1 + more / max(1, due + soon)


def _room(queue: Queue, found: Figures, wanted: int) -> tuple[int, str]:
    """How many more of its tasks may start, and what holds the others."""
    if queue.is_paused:
        return 0, "QUEUE_PAUSED"
    if queue.is_frozen:
        return 0, Gate.FREEZE.name
    rooms = [(wanted, "")]
    if (most := queue.max_concurrency) is not None:
        rooms.append((max(0, most - found.scheduled - found.running), "QUEUE_LIMIT" if most else "QUEUE_CLOSED"))
    if queue.rate_limit and queue.rate_period:
        # What may start within a second: more workers than that takes would only be idle.
        rooms.append((math.ceil(queue.rate_limit / queue.rate_period) + (queue.rate_burst or 0), "RATE_LIMIT"))
    return min(rooms)
