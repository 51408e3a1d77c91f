"""What a person or a program may ask of endpoints: create, edit, rotate the secret, delete.

Each is one transaction with one audit event. A secret is returned by who makes it, once, and written down nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from access_app import audit
from access_app.ids import new_task_id
from access_app.refusals import InvalidInput, NotFound
from access_app.sql import database_now
from access_app.versions import Versions, require
from tasks_app import notices
from tasks_app.callbacks import ENDPOINT_NAME, read_include, read_url
from tasks_app.fields import QUEUE_NAME
from workflows_app.callbacks.events import Disabled, Event
from workflows_app.callbacks.secrets import new_key, shown
from workflows_app.callbacks.tables import WebhookEndpoint

#: Every task is matched with every endpoint.
MOST_ENDPOINTS: Final = 100
MOST_QUEUES: Final = 100
#: The secret before signs so long, too, if nothing else is said; and at most.
OVERLAP: Final = timedelta(days=1)
LONGEST_OVERLAP: Final = timedelta(days=30)


class EndpointNotFound(NotFound):
    """No endpoint has this id."""


class EndpointTaken(Exception):
    """Another endpoint has the name."""


class InvalidEndpoint(InvalidInput):
    """An endpoint that cannot be. ``problems`` maps a JSON field path to one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint to create, or what an edit would make of one."""

    name: str
    url: str
    events: list[str] = field(default_factory=list)
    queues: list[str] | None = None
    include: str | None = None
    ordered: bool = False
    enabled: bool = True


def create_endpoint(new: NewEndpoint, *, created_by: str) -> tuple[WebhookEndpoint, str]:
    """Create an endpoint; return it and its secret. Raises `InvalidEndpoint`, `EndpointTaken`."""
    _check(new)
    endpoint_id, key = new_task_id(), new_key()
    own = {"id": endpoint_id, "secret": key, "created_by": created_by}
    try:
        with transaction.atomic():
            if WebhookEndpoint.objects.count() >= MOST_ENDPOINTS:
                raise InvalidEndpoint({"name": f"there are {MOST_ENDPOINTS} endpoints already: delete one"})
            WebhookEndpoint.objects.create(**own, **_columns(new, None))
            audit.record(created_by, "endpoint.created", _target(new.name), detail=asdict(new))
            transaction.on_commit(notices.forget)
    except IntegrityError as error:
        raise _taken(error) from error
    return endpoint_of(endpoint_id), shown(key)


def edit_endpoint(
    endpoint_id: UUID, changes: dict[str, Any], *, actor: str, versions: Versions = None
) -> WebhookEndpoint:
    """Change an endpoint; ``enabled`` lets it be called again, or no more. What is on its way goes to the new url.

    Raises `EndpointNotFound`, `Stale`, `InvalidEndpoint`, `EndpointTaken`.
    """
    try:
        with transaction.atomic():
            endpoint = _lock(endpoint_id, versions)
            before = definition_of(endpoint)
            new = replace(before, **changes)
            _check(new)
            if new != before:
                columns = _columns(new, endpoint)
                WebhookEndpoint.objects.filter(pk=endpoint_id).update(
                    version=F("version") + 1, updated_at=Now(), **columns
                )
                detail = {"from": asdict(before), "to": asdict(new)}
                audit.record(actor, "endpoint.edited", _target(new.name), detail=detail)
                transaction.on_commit(notices.forget)
    except IntegrityError as error:
        raise _taken(error) from error
    return endpoint_of(endpoint_id)


def rotate_secret(
    endpoint_id: UUID, *, actor: str, overlap: timedelta = OVERLAP, versions: Versions = None
) -> tuple[WebhookEndpoint, str]:
    """Give an endpoint another secret and return it; the one before signs, too, for so long.

    Raises `EndpointNotFound`, `Stale`.
    """
    key = new_key()
    with transaction.atomic():
        endpoint = _lock(endpoint_id, versions)
        previous: dict[str, Any] = {"previous_secret": None, "previous_until": None}
        if overlap:
            previous = {"previous_secret": endpoint.secret, "previous_until": database_now() + overlap}
        WebhookEndpoint.objects.filter(pk=endpoint_id).update(
            version=F("version") + 1, updated_at=Now(), secret=key, **previous
        )
        detail = {"overlapSeconds": overlap // timedelta(seconds=1)}
        audit.record(actor, "endpoint.rotated", _target(endpoint.name), detail=detail)
    return endpoint_of(endpoint_id), shown(key)


def delete_endpoint(endpoint_id: UUID, *, actor: str, versions: Versions = None) -> None:
    """Delete an endpoint; what is on its way to it fails. Raises `EndpointNotFound`, `Stale`."""
    with transaction.atomic():
        endpoint = _lock(endpoint_id, versions)
        WebhookEndpoint.objects.filter(pk=endpoint_id).delete()
        audit.record(actor, "endpoint.deleted", _target(endpoint.name))
        transaction.on_commit(notices.forget)


def endpoint_of(endpoint_id: UUID) -> WebhookEndpoint:
    """Raises `EndpointNotFound`."""
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id).first()
    if endpoint is None:
        raise EndpointNotFound(f"there is no endpoint {endpoint_id}")
    return endpoint


def definition_of(endpoint: WebhookEndpoint) -> NewEndpoint:
    """What one would ask for to create it again."""
    return NewEndpoint(
        name=endpoint.name,
        url=endpoint.url,
        events=endpoint.events,
        queues=endpoint.queues,
        include=endpoint.include,
        ordered=endpoint.ordered,
        enabled=endpoint.disabled is None,
    )


def _check(new: NewEndpoint) -> None:
    """Raises `InvalidEndpoint`."""
    problems = {}
    if not ENDPOINT_NAME.fullmatch(new.name):
        problems["name"] = "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -"
    for name, value, read in (("url", new.url, read_url), ("include", new.include, read_include)):
        try:
            if value is not None:
                read(value)
        except ValueError as error:
            problems[name] = str(error)
    if not set(new.events) <= set(Event):
        problems["on"] = f"must be a list of {', '.join(Event)}; empty: only of tasks that name the endpoint"
    if new.queues is not None and not (
        0 < len(new.queues) <= MOST_QUEUES and all(QUEUE_NAME.fullmatch(queue) for queue in new.queues)
    ):
        problems["queues"] = f"must be a list of 1 to {MOST_QUEUES} names of queues, or null: all of them"
    if problems:
        raise InvalidEndpoint(problems)


def _columns(new: NewEndpoint, before: WebhookEndpoint | None) -> dict[str, Any]:
    columns = asdict(new)
    enabled = columns.pop("enabled")
    columns["events"] = list(dict.fromkeys(new.events))
    if enabled:
        columns |= {"disabled": None, "disabled_at": None}
        if before is not None and before.disabled is not None:
            columns["failing_since"] = None
    elif before is None or before.disabled is None:
        columns |= {"disabled": Disabled.BY_HAND, "disabled_at": Now()}
    return columns


def _lock(endpoint_id: UUID, versions: Versions) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise EndpointNotFound(f"there is no endpoint {endpoint_id}")
    require(versions, endpoint.version, "endpoint")
    return endpoint


def _taken(error: IntegrityError) -> Exception:
    taken = isinstance(error.__cause__, psycopg.errors.UniqueViolation)
    return EndpointTaken("another endpoint has this name") if taken else error


def _target(name: str) -> str:
    return f"endpoint:{name}"
