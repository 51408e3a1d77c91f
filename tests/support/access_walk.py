"""Every way in and what the table demands for it: routes of the API by method, pages, buttons and list actions of the
admin. Found by walking the resolver and the registry, so that what is added is walked too. What these do not tell,
bodies and rows to act on, is written down here; what is missing makes ``tests/integration/test_access_table.py`` red.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.views import APIView

from access_app import keys
from access_app.exports import FORMATS
from access_app.http.viewsets import ApiViewSet
from access_app.ids import new_task_id
from access_app.models import AuditEvent
from access_app.rights import Action, Scope
from access_app.staff.base import StaffAdmin
from flow_app.models import Freeze, Queue, QueueKey, Target
from monitoring_app.marks import set_mark
from schedules_app.firing_rules import FireState
from schedules_app.models import ScheduleFire
from tasks_app.acts import BulkAction
from tasks_app.failures import FailureGroup
from tasks_app.states import Gate, TaskStatus
from tasks_app.tickets import Ask, Ticket, sign
from tests.factories import make_batch, make_execution, make_failure, make_operation, make_task
from tests.support.schedules import make_calendar, make_schedule, whole_now
from tests.support.webhooks import make_delivery, make_endpoint
from workers_app.models import Scheduler, Worker

TYPES: Final = ("DUMMY", "SHELL")
PAYLOADS: Final[dict[str, Any]] = {"DUMMY": {}, "SHELL": {"command": "true"}}
#: What rows hold that were there before, and the actions of which one at least lets a caller see it.
RESULTS: Final[Mapping[str, Any]] = {
    "DUMMY": {"sleptMs": 1, "note": "task-secret"},
    "SHELL": {
        "exitCode": 1,
        "signal": None,
        "stdout": "task-secret",
        "stderr": "",
        "stdoutTruncated": False,
        "stderrTruncated": False,
        "cpuMs": 1,
        "maxRssBytes": 1,
        "sandbox": "limits",
    },
}
SECRETS: Final = {"task-secret": (Action.TASK_READ,), "schedule-secret": (Action.SCHEDULE_READ, Action.TASK_READ)}
CHRISTMAS: Final = {"dates": "12-24/12-26"}
#: Answer without a key; reached by nobody's scopes.
PUBLIC: Final = {"health-live", "health-ready"}


@dataclass(frozen=True)
class Operation:
    """One request. It needs all of ``actions``; what they demand for a type counts when it touches one."""

    name: str
    method: str
    url: str
    actions: tuple[Action, ...]
    task_type: str | None = None
    body: Any = None
    #: Whether it leaves a trace when it is allowed; if not, it is told from its status.
    changes: bool = False
    #: Nobody may, superusers neither.
    never: bool = False
    #: What a page offers to do, by the name it has there.
    offers: Mapping[str, Action] = field(default_factory=dict)

    @property
    def depends_on_type(self) -> bool:
        return any(action.runs for action in (*self.actions, *self.offers.values()))

    def offered(self, response: Any) -> set[str] | None:
        """The buttons of a page of one row, or the actions of a list; None: the answer is neither."""
        context = getattr(response, "context_data", None) or {}
        if "cl" in context:
            form = context.get("action_form")
            return {word for word, _ in form.fields["action"].choices if word} if form else set()
        return set(context["may"]) if "row" in context else None


@dataclass(frozen=True)
class World:
    """Rows of one type of task, in the states that the requests need."""

    task_type: str
    rows: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task_type: str) -> World:
        secrets = [{"command": f"echo {secret}"} if task_type == "SHELL" else {} for secret in SECRETS]
        payload, template = secrets[0], {"type": task_type, "payload": secrets[1]}
        made = cls(task_type)
        put, ended = made.rows, TaskStatus.FAILED
        put["task"] = make_task(type=task_type, payload=payload)
        put["running task"] = make_task(type=task_type, payload=payload, status=TaskStatus.RUNNING)
        put["ended task"] = make_task(type=task_type, payload=payload, status=ended, attempt=1)
        asked = {"gate": Gate.APPROVAL, "approval": {"of": "scope:tasks:write"}, "approval_asked_at": whole_now()}
        put["waiting task"] = make_task(type=task_type, payload=payload, **asked)
        told = {"result": RESULTS[task_type], "error_code": "TASK_FAILED", "error_message": "task-secret"}
        put["execution"] = make_execution(put["ended task"], **told)
        make_calendar(f"held-{task_type}", CHRISTMAS)
        make_calendar(f"free-{task_type}", CHRISTMAS)
        put["calendar"], put["free calendar"] = f"held-{task_type}", f"free-{task_type}"
        put["schedule"] = make_schedule(due=0, late=timedelta(seconds=9), task=template, calendars=[put["calendar"]])
        put["paused schedule"] = make_schedule(due=0, task=template, paused_at=whole_now())
        put["disabled schedule"] = make_schedule(due=0, task=template, enabled=False, next_slot=None, next_fire_at=None)
        slot = put["schedule"].last_slot
        put["fire"] = ScheduleFire.objects.create(
            schedule_id=put["schedule"].pk, slot=slot, due_at=slot, state=FireState.MISSED
        )
        put["queue"] = Queue.objects.create(name=f"open-{task_type}")
        put["paused queue"] = Queue.objects.create(name=f"paused-{task_type}", paused_at=whole_now())
        put["target"] = Target.objects.create(host=f"{task_type.lower()}.example")
        put["freeze"] = Freeze.objects.create(pk=new_task_id(), queues=[f"frozen-{task_type}"], created_by="test")
        put["queue key"] = QueueKey.objects.create(queue=put["queue"].pk, key=f"key/{task_type}")
        put["operation"] = make_operation(task_type)
        put["stopped operation"] = make_operation(task_type, state="STOPPED")
        put["endpoint"], _ = make_endpoint(f"open-{task_type}")
        put["disabled endpoint"], _ = make_endpoint(f"disabled-{task_type}", enabled=False)
        put["delivery"] = make_delivery(put["endpoint"])
        put["batch"] = make_batch(status="OPEN", on_complete=template)
        put["failed batch"] = make_batch(status="FAILED")
        make_task(type=task_type, payload=payload, status=ended, attempt=1, batch_id=put["failed batch"].pk)
        put["worker"] = Worker.objects.create(worker_id=uuid4(), pid=1, slots=1, host="h", name="w")
        put["scheduler"] = Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host="h")
        put["key"], _ = keys.create_key(f"key-{task_type}", ["admin"], actor="test")
        failed = make_failure("task-secret", type=task_type, payload=payload)
        put["failure"] = FailureGroup.objects.get(pk=failed.fingerprint)
        put["event"] = AuditEvent.objects.latest("id")
        put["mark"], _ = set_mark(f"mark-{task_type}", actor="test")
        return made

    def id_of(self, name: str) -> str:
        row = self.rows[name]
        return str(getattr(row, "pk", row))


# --- the API

#: Of which row a path is; the first name that fits: method and route, route, parameter.
_PATHS: Final = {
    "task-retry": "ended task",
    "task-progress": "running task",
    "task-approve": "waiting task",
    "task-reject": "waiting task",
    "batch-retry": "failed batch",
    "batch_id": "batch",
    "schedule-resume": "paused schedule",
    "queue-resume": "paused queue",
    "DELETE calendar": "free calendar",
    "calendar": "calendar",
    "queue-pause": "queue",
    "queue-keys": "queue",
    "queue-key": "queue",
    "queue": "queue",
    "target": "target",
    "freeze_id": "freeze",
    "endpoint_id": "endpoint",
    "delivery_id": "delivery",
    "task_id": "task",
    "schedule_id": "schedule",
    "worker_id": "worker",
    "bulk-operation-resume": "stopped operation",
    "operation_id": "operation",
    "mark_id": "mark",
    "fingerprint": "failure",
}


def _bodies(world: World) -> dict[str, Any]:
    template = {"type": world.task_type, "payload": PAYLOADS[world.task_type]}
    slot = world.rows["schedule"].last_slot
    window = {"from": (slot - timedelta(hours=1)).isoformat(), "to": slot.isoformat()}
    return {
        "POST tasks": template,
        "POST tasks-bulk": {"tasks": [template]},
        "POST bulk-operations": {"action": "cancel", "filter": {"type": world.task_type}, "dryRun": True},
        "PATCH task": {"priority": 7},
        "PUT task-progress": {"percent": 7},
        "POST batches": {"name": "new", "tasks": [template]},
        "POST batch-tasks": {"tasks": [template]},
        "POST schedules": {"name": "new", "cron": "0 4 * * *", "task": template},
        "PATCH schedule": {"jitterSeconds": 7},
        "POST schedules-simulate": {"schedule": {"cron": "0 4 * * *", "task": template}, **window},
        "POST schedule-backfill": window,
        "POST schedule-clone": {"name": "copy"},
        "POST calendars": {"name": "new", "ranges": [CHRISTMAS]},
        "PATCH calendar": {"description": "x"},
        "PATCH queue": {"maxConcurrency": 7},
        "PUT target": {"maxConcurrency": 7},
        "POST freezes": {"queues": ["frozen"]},
        "POST webhook-endpoints": {"name": "new", "url": "https://new.example/", "on": []},
        "PATCH endpoint": {"ordered": True},
        "POST endpoint-replay": window,
        "PUT queue-key": {"paused": True},
        "POST marks": {"name": "new"},
    }


def api_routes() -> Iterator[tuple[str, Any]]:
    """Name and view of every route that a viewset of the API serves."""
    for pattern in patterns():
        view: Any = pattern.callback
        if issubclass(getattr(view, "cls", object), APIView):
            assert issubclass(view.cls, ApiViewSet), "it takes its rules from the project's settings"
            yield str(pattern.name), view


def demands(view: Any) -> dict[str, Action]:
    """What a view demands by HTTP method. HEAD is GET."""
    return {method.upper(): view.cls.actions[word] for method, word in view.actions.items() if method != "head"}


def api_operations(world: World) -> Iterator[Operation]:
    """Every route by every method its view has."""
    bodies = _bodies(world)
    for route, view in api_routes():
        demanded = demands(view)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            needs, is_read = demanded.get("GET" if method == "HEAD" else method), method in ("GET", "HEAD")
            if route in PUBLIC or needs is None:
                continue
            name = f"{method} {route}"
            url = reverse(route, args=list(_arguments(world, name, route)))
            changes = not is_read and not route.endswith(
                ("simulate", "recovery", "bulk", "bulk-operations", "progress")
            )
            yield Operation(name, method, url, (needs,), world.task_type, bodies.get(name), changes)


def _arguments(world: World, name: str, route: str) -> Iterator[str]:
    for possibility in get_resolver().reverse_dict.getlist(route)[:1]:
        for parameter in possibility[0][0][1]:
            if parameter == "key":
                yield world.rows["queue key"].key
            else:
                yield world.id_of(_PATHS.get(name) or _PATHS.get(route) or _PATHS[parameter])


# --- the admin

#: Pages of the site as a whole: they show nothing of ours but through the pages of models, lists of these, or, as that
#: of history, in parts that it asks for itself.
SITE: Final = {
    *("admin:index", "admin:login", "admin:logout", "admin:search", "admin:jsi18n", "admin:app_list"),
    *("admin:history", "admin:password_change", "admin:password_change_done", "admin:autocomplete"),
}
#: Rows by model, and by word where a button needs another state.
_ROWS: Final = {
    "task": "task",
    "task retry": "ended task",
    "task approve": "waiting task",
    "task reject": "waiting task",
    "task retry_selected": "ended task",
    "taskexecution": "execution",
    "batch": "batch",
    "batch change": "failed batch",
    "batch retry": "failed batch",
    "schedule": "schedule",
    "schedule resume": "paused schedule",
    "schedule resume_selected": "paused schedule",
    "schedule enable": "disabled schedule",
    "schedulefire": "fire",
    "blackoutcalendar": "calendar",
    "blackoutcalendar delete": "free calendar",
    "bulkoperation": "operation",
    "bulkoperation resume": "stopped operation",
    "queue": "queue",
    "queue resume": "paused queue",
    "queue resume_selected": "paused queue",
    "target": "target",
    "freeze": "freeze",
    "webhookendpoint": "endpoint",
    "webhookendpoint enable": "disabled endpoint",
    "delivery": "delivery",
    "worker": "worker",
    "scheduler": "scheduler",
    "apikey": "key",
    "auditevent": "event",
    "mark": "mark",
    "failuregroup": "failure",
}


def _forms(world: World) -> dict[str, dict[str, str]]:
    task = {"type": world.task_type, "payload": '{"command": "true"}' if world.task_type == "SHELL" else "{}"}
    task |= {"queue": "default", "priority": "0", "timeout_ms": "1000", "slots": "1", "on_worker_lost": "retry"}
    when = {"repeat": "cron", "cron": "0 4 * * *", "timezone": "UTC", "jitter_seconds": "0"}
    what_if = {"misfire_policy": "skip", "misfire_max_runs": "1", "misfire_grace_seconds": "60", "overlap": "skip"}
    what_if |= {"dst_gap": "skip", "dst_fold": "once", "enabled": "on"}
    calendar = {"timezone": "UTC", "on_blackout": "skip", "ranges": '[{"dates": "12-31"}]', "version": "1"}
    slot = world.rows["schedule"].last_slot
    since = slot - timedelta(hours=1)
    ask = Ask(BulkAction.CANCEL, {"type": world.task_type})
    token = sign(Ticket(new_task_id(), 7, new_task_id(), new_task_id()), ask)
    many = {"action": "cancel", "filter": json.dumps(ask.filter), "token": token, "confirm": "7"}
    return {
        "bulkoperation add": many,
        "task add": {**task, "on_busy": "queue", "on_duplicate": "return"},
        "schedule add": {"name": "new", **task, **when, **what_if},
        "schedule edit": {"name": "renamed", "version": "1", **task, **when, **what_if},
        "schedule delete": {"version": "1"},
        "schedule clone": {"name": "copy"},
        "schedule backfill": {
            "since": f"{since:%Y-%m-%dT%H:%M:%S}",
            "until": f"{slot:%Y-%m-%dT%H:%M:%S}",
            "limit": "9",
        },
        "blackoutcalendar add": {"name": "new", **calendar},
        "blackoutcalendar edit": calendar,
        "blackoutcalendar delete": {"version": "1"},
        "queue add": {"name": "new"},
        "queue key": {"key": "new", "weight": "2"},
        "queue unset_key": {"key": world.rows["queue key"].key, "version": "1"},
        "queue edit": {"max_concurrency": "7", "version": str(world.rows["queue"].version)},
        "target add": {"host": "new.example", "max_concurrency": "7"},
        "freeze add": {"queues": "frozen"},
        "target edit": {"max_concurrency": "7", "version": str(world.rows["target"].version)},
        "webhookendpoint add": {"name": "new", "url": "https://new.example/"},
        "webhookendpoint edit": {"name": "renamed", "url": "https://new.example/", "version": "1"},
        "target delete": {"version": str(world.rows["target"].version)},
        "apikey add": {"name": "new", "scopes": "tasks:read"},
        "mark add": {"name": "new"},
    }


def staff_admins() -> dict[str, StaffAdmin]:
    """Our model admins by the beginning of their URLs' names."""
    admin.autodiscover()
    return {
        f"admin:{model._meta.app_label}_{model._meta.model_name}": model_admin
        for model, model_admin in admin.site._registry.items()
        if isinstance(model_admin, StaffAdmin)
    }


def admin_operations(world: World) -> Iterator[Operation]:
    """Everything that the pages of our models answer to."""
    for name, model_admin in staff_admins().items():
        yield from _operations_of(world, name, model_admin, _forms(world))
    name = "admin:schedules_app_schedule_preview_new"
    yield Operation(
        f"POST {name}", "POST", reverse(name), (Action.SCHEDULE_CREATE,), body=_forms(world)["schedule add"]
    )


def _operations_of(
    world: World, name: str, model_admin: StaffAdmin, forms: dict[str, dict[str, str]]
) -> Iterator[Operation]:
    model, reads, creates = str(model_admin.opts.model_name), model_admin.reads, model_admin.creates
    listed = reverse(f"{name}_changelist")

    def url(word: str) -> str:
        return reverse(f"{name}_{word}", args=[quote(row(word))])

    def row(word: str) -> str:
        return world.id_of(_ROWS.get(f"{model} {word}") or _ROWS[model])

    def form(word: str) -> dict[str, str]:
        return forms.get(f"{model} {word}", {})

    bulk = {str(word): getattr(model_admin, str(word)).needs for word in model_admin.actions or ()}
    buttons = {**model_admin.posts, **model_admin.forms}
    yield Operation(f"GET {name}_changelist", "GET", listed, (reads,), world.task_type, offers=bulk)
    yield Operation(f"GET {name}_change", "GET", url("change"), (reads,), world.task_type, offers=buttons)
    for form_of_file in FORMATS if model_admin.export_name else ():
        file = f"{name}_export_{form_of_file}"
        yield Operation(f"GET {file}", "GET", reverse(file), (reads, *model_admin.export_needs), world.task_type)
    for word in model_admin.pages:
        yield Operation(f"GET {name}_{word}", "GET", url(word), (reads,), world.task_type)
    may: dict[str, Any] = {"actions": (creates,) if creates else (), "never": creates is None}
    yield Operation(f"GET {name}_add", "GET", f"{listed}add/", **may)
    if creates is Action.KEY_CREATE:  # it gives the scope away, which needs all that the scope allows
        may["actions"] += tuple(action for action in Action if Scope.TASKS_READ in (action.scopes or ()))
    yield Operation(
        f"POST {name}_add", "POST", f"{listed}add/", task_type=world.task_type, body=form("add"), changes=True, **may
    )
    if "delete" not in model_admin.posts:
        yield Operation(f"POST {name}_delete", "POST", url("delete"), (), body={"post": "yes"}, never=True)
    for word, action in model_admin.posts.items():
        changes = word != "preview"
        yield Operation(f"POST {name}_{word}", "POST", url(word), (reads, action), world.task_type, form(word), changes)
    for word, action in model_admin.forms.items():
        yield Operation(f"GET {name}_{word}", "GET", url(word), (reads, action), world.task_type)
        yield Operation(
            f"POST {name}_{word}", "POST", url(word), (reads, action), world.task_type, form(word), changes=True
        )
    for word, needs in bulk.items():
        body = {"action": word, "index": "0", "_selected_action": row(word)}
        yield Operation(f"{name} {word}", "POST", listed, (reads, needs), world.task_type, body, changes=True)


def patterns(found: Any = None, *, admin_only: bool = False) -> Iterator[URLPattern]:
    """Every pattern of the site, or of the admin."""
    for pattern in get_resolver().url_patterns if found is None else found:
        if isinstance(pattern, URLResolver):
            if not admin_only or pattern.namespace == "admin":
                yield from patterns(pattern.url_patterns)
        elif not admin_only:
            yield pattern
