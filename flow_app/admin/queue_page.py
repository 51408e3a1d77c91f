"""What the page of one queue shows: what is in it, its rules, its keys and their holders, what tenants have had."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import person_of
from access_app.staff.way_back import FILTERS
from flow_app import queue_keys
from flow_app.admin import shown
from flow_app.admin.queue_forms import PauseForm, QueueRulesForm, ResumeForm
from flow_app.figures import MOST_BEHIND, KeyFigures, measure_keys, measure_queues, tokens_of
from flow_app.models import Queue, QueueKey
from flow_app.shares import Share, measure_shares

#: Keys that are set apart, of one look at the page.
MOST_KEYS: Final = 50
_RATES: Final = {"queue": "The rate of this queue", "thaw": "The rate of its resume"}


def queue_context(request: HttpRequest, queue: Queue) -> dict[str, Any]:
    return {
        "badge": display.badge(shown.state_of(queue)),
        "paused": queue.is_paused,
        "frozen": display.exact(queue.frozen_until) if queue.frozen_until else "somebody thaws it",
        "paused_since": display.exact(queue.paused_at),
        "pause_reason": display.words(queue.pause_reason),
        "until": display.exact(queue.paused_until) if queue.paused_until else "",
        "thawing": f"{queue.thaw_limit:,} in {queue.thaw_period:,} s" if queue.thaw_limit else "",
        "tasks": display.query(queue=queue.name),
        "facts": shown.facts_of_rules(queue),
        "rates": _rates(queue),
        "form": PauseForm.of(queue),
        "rules_form": QueueRulesForm(row=queue),
        "resume_form": ResumeForm(),
        **_figures(queue),
        **_keys(request, queue),
        **_shares(queue),
    }


def _figures(queue: Queue) -> dict[str, Any]:
    found = measure_queues([queue.name])[queue.name]
    owned = found.scheduled + found.running
    return {
        "stats": [
            ("Waiting", shown.at_least(found.waiting, found)),
            ("Due", shown.at_least(found.due, found)),
            ("Oldest due", shown.oldest(found)),
            ("Running", display.number(found.running)),
            ("Assigned", display.number(found.scheduled)),
            ("In / out a minute", shown.pace(found)),
            ("Empty in", shown.time_to_drain(found)),
        ],
        "load": None if queue.max_concurrency is None else display.bar(owned, queue.max_concurrency),
        "gates": shown.gate_rows(found),
    }


def _rates(queue: Queue) -> list[tuple[str, str, SafeString | str]]:
    """Of each rate: which, how many may start now, and when the next may if none may."""
    return [(_RATES[each.kind], f"{each.tokens:,}", display.due(each.next_at)) for each in tokens_of(queue.name)]


def _keys(request: HttpRequest, queue: Queue) -> dict[str, Any]:
    """Keys that are set apart, a stretch of them, and those of which most runs."""
    after = request.GET.get("after", "")
    rows = list(queue_keys.keys_of(queue.name).filter(key__gt=after)[: MOST_KEYS + 1])
    measured = measure_keys(queue.name, [row.key for row in rows[:MOST_KEYS]])
    sees_tasks = person_of(request).may(Action.TASK_READ)
    return {
        "keys": [_key(row, measured[row.key]) for row in rows[:MOST_KEYS]],
        "keys_after": _further(request, rows[MOST_KEYS - 1].key) if len(rows) > MOST_KEYS else "",
        "keys_before": bool(after),
        "busy_keys": [_busy(found, sees_tasks=sees_tasks) for found in measured.values() if found.busy],
    }


def key_query(key: str) -> str:
    return f"?{display.query(key=key)}"


def _key(row: QueueKey, found: KeyFigures) -> dict[str, Any]:
    return {
        "row": row,
        "name": shown.cut(row.key),
        "most": shown.most_of_key(row, found),
        "held": display.number(found.held),
        "waiting": display.number(found.waiting, at_most=MOST_BEHIND),
        "form": key_query(row.key),
    }


def _busy(found: KeyFigures, *, sees_tasks: bool) -> dict[str, Any]:
    more = found.held - len(found.holders)
    return {
        "name": shown.cut(found.key),
        "load": display.bar(found.held, found.most),
        "waiting": display.number(found.waiting, at_most=MOST_BEHIND),
        "holders": [display.task_link(task_id) for task_id in found.holders] if sees_tasks else [],
        "more": f"and {more:,} more" if more > 0 else "",
        "form": key_query(found.key),
    }


def _further(request: HttpRequest, key: str) -> str:
    """The address of the next keys, which keeps the way back to the list."""
    kept = {FILTERS: filters} if (filters := request.GET.get(FILTERS, "")) else {}
    return f"?{display.query(after=key, **kept)}#keys"


def _shares(queue: Queue) -> dict[str, Any]:
    if queue.fair_by is None:
        return {"shared": False}
    found = measure_shares(queue.name)
    return {
        "shared": True,
        "shares": [_share(each) for each in found.rows],
        "shares_of": display.span(found.span),
        "more_tenants": found.others,
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "tenant": shown.cut(share.tenant) if share.tenant else "without a fairKey",
        "weight": share.weight,
        "used": f"{share.used:,.2f}",
        "entitled": f"{share.entitled:,.2f}",
        "lent": f"{share.lent:,.2f}" if share.lent > 0 else "",
        "borrowed": f"{-share.lent:,.2f}" if share.lent < 0 else "",
    }
