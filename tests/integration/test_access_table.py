"""Everything is tried with keys and people of many kinds, and what happens is what the table says: routes of the API by
method, pages, buttons and list actions of the admin, on tasks and schedules that run commands and that do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.http import HttpResponseForbidden
from django.test import Client

from access_app import rights as access
from access_app.rights import Action, Caller, KeyCaller, Person, Role, Scope
from tests.factories import make_key
from tests.support import access_walk
from tests.support.access_walk import TYPES, Operation, World, admin_operations, api_operations
from tests.support.api import Api
from workers_app.recovery import RecoveryReport

pytestmark = pytest.mark.django_db

Send = Callable[[Operation], Any]
#: How a caller is called in a message, what the table is asked about, how a request of theirs is sent.
Kind = tuple[str, Caller, Send]

#: Every privileged change leaves an audit row; creating a task leaves the task.
TRACE = """SELECT (SELECT count(*) FROM audit_events), (SELECT count(*) FROM tasks),
                  (SELECT sum(version) FROM tasks), (SELECT sum(version) FROM schedules)"""


@pytest.fixture(autouse=True)
def quick(unrendered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may is the question, not what a page looks like; and recovery has tests, and connections, of its own."""
    monkeypatch.setattr("scheduler_project.error_pages._framed", lambda request, page: HttpResponseForbidden())
    monkeypatch.setattr("tasks_app.approving.refusal", lambda caller, task: None)  # whom a task names: test_approvals
    monkeypatch.setattr("monitoring_app.views.recover_system", lambda actor: RecoveryReport())


def worlds(operations: Callable[[World], Iterator[Operation]]) -> list[Operation]:
    """Those of every type of task; of all but the first only where the type makes a difference."""
    return [
        operation
        for task_type in TYPES
        for operation in operations(World.of(task_type))
        if task_type == TYPES[0] or operation.depends_on_type
    ]


def mismatches(operations: Iterable[Operation], kinds: Callable[[Operation], Iterator[Kind]]) -> list[str]:
    """Each operation by each kind of caller, every change taken back: what was not as the table says."""
    found = []
    for operation in operations:
        tried = list(kinds(operation))  # makes callers, which leaves traces as well
        before = trace()
        for words, caller, send in tried:
            with transaction.atomic():
                response = send(operation)
                changed = operation.method not in ("GET", "HEAD") and trace() != before
                transaction.set_rollback(True)
            if problem := problem_of(operation, caller, response, changed):
                found.append(f"{operation.name} {operation.task_type or ''} by {words}: {problem}")
    return found


def trace() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(TRACE)
        return cursor.fetchone()


def problem_of(operation: Operation, caller: Caller, response: Any, changed: bool) -> str | None:
    """Allowed: it succeeds and, if it should, leaves a trace. Refused: it says so, and leaves none."""
    allowed = not operation.never and all(caller.may(action, operation.task_type) for action in operation.actions)
    status, errors = response.status_code, errors_of(response)
    done = status < 400 and not errors and (changed or not operation.changes)
    if not allowed:
        return f"must be refused, but {status}, changed: {changed}" if changed or done or status >= 500 else None
    if not done:
        return f"must be done, but {status} {errors or response.content[:200]}"
    content = b"".join(response.streaming_content) if response.streaming else response.content
    for secret, actions in access_walk.SECRETS.items():
        if secret.encode() in content and not any(caller.may(action) for action in actions):
            return f"must not show a {secret}"
    offers = {word for word, action in operation.offers.items() if caller.may(action, operation.task_type)}
    offered = operation.offered(response)
    return f"must offer {offers}, but {offered}" if offered is not None and offered != offers else None


def errors_of(response: Any) -> list[str]:
    request = getattr(response, "wsgi_request", None)
    return [str(message) for message in get_messages(request) if message.level_tag == "error"] if request else []


class Keys:
    """API keys by their scopes."""

    def __init__(self) -> None:
        self._known: dict[frozenset[str], Api] = {}

    def of(self, operation: Operation) -> Iterator[Kind]:
        for scopes in self._sets(operation):
            api = self._known.setdefault(scopes, Api(make_key(*scopes)))
            yield str(sorted(scopes)), KeyCaller("k", scopes), self._sender(api)

    def _sender(self, api: Api) -> Send:
        return lambda operation: api.send(operation.method, operation.url, operation.body)

    def _sets(self, operation: Operation) -> Collection[frozenset[str]]:
        """Exactly what is needed, that without the scope of the type, all but one of what is needed, and all."""
        [action] = operation.actions
        type_scope = access.type_scope(str(operation.task_type))
        own = frozenset(action.scopes or ()) or frozenset({"tasks:shell"})
        needed = own | ({type_scope} if type_scope and action.runs else set())
        everything = frozenset(map(str, Scope))
        either = frozenset[str]().union(*(way.scopes or () for way in action.ways))
        less = (everything - {scope} for scope in needed)
        return {
            own,
            needed,
            everything,
            *less,
            *(way.scopes for way in action.ways[1:] if way.scopes),
            everything - either,
        }


class People:
    """Members of staff by what they may do, each signed in once, in the admin or with requests of the API."""

    def __init__(self, sender: Callable[[Client], Send]) -> None:
        self._sender = sender
        self._known: dict[Any, tuple[Person, Client]] = {}
        self._handler = Client().handler  # one for all: loading the middleware walks all static files
        self._permissions = {
            f"{each.content_type.app_label}.{each.codename}": each
            for each in Permission.objects.select_related("content_type")
        }

    def of(self, operation: Operation) -> Iterator[Kind]:
        for words, kind in self._kinds(operation):
            person, client = self._known.get(kind) or self._sign_in(kind)
            yield words, person, self._sender(client)

    def _kinds(self, operation: Operation) -> Iterator[tuple[str, Any]]:
        """With exactly the permissions, with all but one of them, in the role that may and the one before, and root."""
        exact = frozenset[str]().union(*(action.permissions for action in operation.actions))
        yield f"exactly {sorted(exact)}", exact
        yield "a superuser", "superuser"
        if operation.task_type not in (None, TYPES[0]):
            return
        for missing in sorted(exact):
            yield f"all but {missing}", access.permissions_of(Role.ADMINISTRATOR) - {missing}
        for action in (each for each in operation.actions if len(each.ways) > 1):
            either = frozenset[str]().union(*(way.permissions for way in action.ways))
            yield f"neither of {sorted(either)}", access.permissions_of(Role.ADMINISTRATOR) - either
        least = max((list(Role).index(action.role) for action in operation.actions), default=0)
        yield from ((role, role) for role in list(Role)[max(0, least - 1) : least + 1])

    def _sign_in(self, kind: Any) -> tuple[Person, Client]:
        user = User.objects.create_user(f"person{len(self._known)}", is_staff=True, is_superuser=kind == "superuser")
        if isinstance(kind, Role):
            user.groups.add(Group.objects.get(name=kind))
        elif kind != "superuser":
            user.user_permissions.set(self._permissions[name] for name in kind)
        client = Client(raise_request_exception=False)
        client.handler = self._handler
        client.force_login(user)
        self._known[kind] = Person(user), client
        return self._known[kind]


def by_forms(client: Client) -> Send:
    """As a browser asks."""

    def send(operation: Operation) -> Any:
        if operation.method == "POST":
            return client.post(operation.url, operation.body or {})
        return client.get(operation.url)

    return send


def by_json(client: Client) -> Send:
    """As a program asks."""

    def send(operation: Operation) -> Any:
        body = b"" if operation.body is None else json.dumps(operation.body).encode()
        return client.generic(operation.method, operation.url, body, "application/json")

    return send


class TestTable:
    def test_decides_what_keys_do(self) -> None:
        assert mismatches(worlds(api_operations), Keys().of) == []

    def test_decides_what_sessions_do_through_the_api(self) -> None:
        assert mismatches(worlds(api_operations), People(by_json).of) == []

    def test_decides_what_people_do_in_the_admin(self) -> None:
        assert mismatches(worlds(admin_operations), People(by_forms).of) == []


#: What the words of a route or a button do not say by themselves.
OTHERWISE = {
    "DELETE task": Action.TASK_CANCEL,
    "DELETE target": Action.TARGET_EDIT,
    "DELETE freeze": Action.FREEZE_THAW,
    "POST tasks-bulk": Action.TASK_CREATE,
    "POST schedules-simulate": Action.SCHEDULE_READ,
    "POST health-recovery": Action.RECOVERY_RUN,
    "DELETE queue-key": Action.QUEUE_EDIT,
    "GET task-inputs": Action.TASK_INPUTS,
    "GET task-output": Action.TASK_READ,
    "PUT task-progress": Action.TASK_PROGRESS,
    "GET bulk-operations": Action.BULK_READ,
    "POST bulk-operations": Action.BULK_CREATE,
    "GET bulk-operation": Action.BULK_READ,
    "POST failure-retry": Action.BULK_RUN,
    "POST bulk-operation-stop": Action.BULK_STOP,
    "POST bulk-operation-resume": Action.BULK_RESUME,
    "GET batches": Action.BATCH_READ,
    "POST batches": Action.BATCH_CREATE,
    "POST batch-tasks": Action.BATCH_ADD,
    "DELETE batch": Action.BATCH_CANCEL,
    "GET health-workers": Action.WORKER_READ,
    **{f"GET {route}": Action.HEALTH_READ for route in ("health", "health-metrics", "health-demand", "metrics")},
    **{f"GET {route}": Action.SCHEMA_READ for route in ("schema", "docs")},
    **{f"queue {word}": Action.QUEUE_EDIT for word in ("key", "unset_key")},
    **{f"target {word}": Action.TARGET_EDIT for word in ("add", "delete", "forget_selected")},
    "GET deliveries": Action.DELIVERY_READ,
    "GET webhook-endpoints": Action.ENDPOINT_READ,
    "POST webhook-endpoints": Action.ENDPOINT_CREATE,
    **{f"webhookendpoint {word}": Action.ENDPOINT_EDIT for word in ("enable", "disable")},
    **{f"schedule {word}": Action.SCHEDULE_EDIT for word in ("enable", "preview")},
}
VERBS = {"GET": "READ", "POST": "CREATE", "PUT": "EDIT", "PATCH": "EDIT", "DELETE": "DELETE"}
NOUNS = {"taskexecution": "EXECUTION", "blackoutcalendar": "CALENDAR", "schedulefire": "FIRE", "apikey": "KEY",
         "bulkoperation": "BULK", "auditevent": "AUDIT", "webhookendpoint": "ENDPOINT",
         "failuregroup": "FAILURE"}  # fmt: skip


class TestNames:
    """Whoever names an action of the table names the one that the words say: the walk takes them at their word."""

    def test_of_routes(self) -> None:
        for route, view in access_walk.api_routes():
            for method, action in access_walk.demands(view).items():
                noun, _, verb = route.partition("-")
                said = f"{noun.removesuffix('s')}_{verb if method == 'POST' and verb else VERBS[method]}".upper()
                if route not in access_walk.PUBLIC:
                    assert action is (OTHERWISE.get(f"{method} {route}") or Action[said]), (method, route)

    def test_of_buttons_and_pages(self) -> None:
        for model_admin in access_walk.staff_admins().values():
            model = str(model_admin.opts.model_name)
            noun = NOUNS.get(model, model.upper())
            assert model_admin.reads is Action[f"{noun}_READ"]
            creates = OTHERWISE.get(f"{model} add") or Action.__members__.get(f"{noun}_CREATE")
            assert model_admin.creates in (None, creates)
            for word, action in {**model_admin.posts, **model_admin.forms}.items():
                assert action is (OTHERWISE.get(f"{model} {word}") or Action[f"{noun}_{word.upper()}"]), (model, word)
            for word in model_admin.actions or ():
                verb = str(word).removesuffix("_selected").upper()
                needs = OTHERWISE.get(f"{model} {word}") or Action[f"{noun}_{verb}"]
                assert getattr(model_admin, str(word)).needs is needs, word


class TestWalk:
    def test_finds_an_action_for_every_method_of_the_api(self) -> None:
        for route, view in access_walk.api_routes():
            assert view.cls.actions.keys() >= set(view.actions.values()), route

    def test_sees_the_whole_api(self) -> None:
        operations = {operation.name for operation in api_operations(World.of("DUMMY"))}
        assert operations >= {"GET tasks", "HEAD task", "PATCH calendar", "POST health-recovery", "GET metrics"}

    def test_leaves_no_page_of_the_admin_out(self) -> None:
        """Pages of accounts have rules, and tests, of their own."""
        walked = {operation.name.split()[-1] for operation in admin_operations(World.of("DUMMY"))}
        named = {f"admin:{pattern.name}" for pattern in access_walk.patterns(admin_only=True) if pattern.name}
        left = {name for name in named - walked - access_walk.SITE if not name.startswith("admin:auth_")}
        assert {name for name in left if not name.endswith(("_history", "_delete"))} == set()
        assert walked >= {"admin:tasks_app_task_retry", "cancel_selected", "admin:schedules_app_schedule_edit"}
