"""How workers are found by Ctrl-K: by id, or by a part of the name or host. The table is small and pruned."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.finding import MOST, Asked, Found, finds
from workers_app.models import Worker


@finds(Action.WORKER_READ)
def find_workers(asked: Asked) -> Iterator[Found]:
    if asked.as_id is None and not asked.is_name:
        return
    named = Q(name__icontains=asked.text) | Q(host__icontains=asked.text)
    rows = Worker.objects.filter(named if asked.is_name else Q(pk=asked.as_id))
    for worker in rows.order_by("-started_at")[:MOST]:
        yield Found("Worker", worker.name, display.page_url(worker), f"{worker.state}, on {worker.host}")
