"""How queues and targets are found by Ctrl-K: by a part of the name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.finding import MOST, Asked, Found, finds
from flow_app.figures import find_queues
from flow_app.models import Queue, Target

#: Names that are looked through; finding one costs some 10 µs.
_MOST_QUEUES: Final = 2_000


@finds(Action.QUEUE_READ)
def find_queues_named(asked: Asked) -> Iterator[Found]:
    if not asked.is_name:
        return
    part = asked.text.lower()
    names = [name for name in find_queues(most=_MOST_QUEUES) if part in name.lower()]
    for name in sorted(names, key=lambda name: (not name.lower().startswith(part), name))[:MOST]:
        yield Found("Queue", name, display.page_url(Queue(name=name)))


@finds(Action.TARGET_READ)
def find_targets(asked: Asked) -> Iterator[Found]:
    if asked.is_name:
        for target in Target.objects.filter(host__contains=asked.text.lower()).order_by("host")[:MOST]:
            yield Found("Target", target.host, display.page_url(target))
