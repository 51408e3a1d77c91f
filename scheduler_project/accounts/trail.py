"""Changes of accounts and groups become audit rows, written with the change itself by Django's model signals.

They are written while somebody is named as acting: the signed-in person of a request, or a command. What a script does
without `acting_as` leaves no row, and neither do ``QuerySet.update`` and SQL. Of passwords, names and addresses a row
says that they were changed and not to what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from access_app import audit
from access_app.rights import Person

#: Fields whose values may stand in an audit row, old and new.
_SHOWN: Final = ("username", "is_active", "is_staff", "is_superuser", "name")
_UNSHOWN: Final = ("password", "email", "first_name", "last_name")
#: The many-to-many relations, seen from their two sides: what a row calls the others, and the manager that has them.
_TIES: Final[dict[tuple[type[Model], bool], tuple[str, str]]] = {
    (User.groups.through, False): ("groups", "groups"),
    (User.groups.through, True): ("members", "user_set"),
    (User.user_permissions.through, False): ("permissions", "user_permissions"),
    (User.user_permissions.through, True): ("users", "user_set"),
    (Group.permissions.through, False): ("permissions", "permissions"),
    (Group.permissions.through, True): ("groups", "group_set"),
}
_VERBS: Final = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}

_actor: ContextVar[Callable[[], str] | None] = ContextVar("actor of account changes", default=None)


@contextmanager
def acting_as(actor: Callable[[], str]) -> Iterator[None]:
    """Have what is done to accounts meanwhile recorded; ``actor`` is called when there is something to record."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


class ActorMiddleware:
    """Names the signed-in person as acting while a request is served."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting_as(lambda: Person(request.user).name):
            return self.get_response(request)


@receiver(pre_save, sender=User)
@receiver(pre_save, sender=Group)
def remember_what_was(sender: type[Model], instance: Any, raw: bool = False, **_: Any) -> None:
    if _actor.get() is not None and not raw:
        watched = [field.name for field in sender._meta.fields if field.name in (*_SHOWN, *_UNSHOWN)]
        instance._was = sender._default_manager.filter(pk=instance.pk).values(*watched).first()


@receiver(post_save, sender=User)
@receiver(post_save, sender=Group)
def record_saved(instance: Any, created: bool, update_fields: Any = None, **_: Any) -> None:
    if _actor.get() is None or update_fields == frozenset({"password"}):  # Django hashes anew with its present costs
        return
    was: dict[str, Any] | None = instance.__dict__.pop("_was", None)
    if created or was is None:
        flags = [flag for flag in ("is_staff", "is_superuser") if getattr(instance, flag, False)]
        _record("created", instance, {"flags": flags} if flags else None)
        return
    changed = {name: old for name, old in was.items() if getattr(instance, name) != old}
    if "password" in changed:
        del changed["password"]
        _record("password_changed", instance)
    if changed:
        now = {name: [old, getattr(instance, name)] if name in _SHOWN else "changed" for name, old in changed.items()}
        _record("changed", instance, now, name=was.get("username") or was.get("name"))


@receiver(pre_delete, sender=Group)
def record_members_of_deleted(instance: Group, **_: Any) -> None:
    """The rows that tie people to a group vanish with it, without a signal of their own."""
    if _actor.get() is not None:
        lost = {
            "members": _names(instance.user_set.all()),
            "permissions": _names(instance.permissions.all()),
        }
        instance._lost = lost  # type: ignore[attr-defined]  # read when it is gone


@receiver(post_delete, sender=User)
@receiver(post_delete, sender=Group)
def record_deleted(instance: Any, **_: Any) -> None:
    if _actor.get() is not None:
        _record("deleted", instance, instance.__dict__.get("_lost"))


@receiver(m2m_changed)
def record_ties(
    sender: Any, instance: Any, action: str, reverse: bool, model: type[Model], pk_set: set[Any] | None, **_: Any
) -> None:
    tie, verb = _TIES.get((sender, reverse)), _VERBS.get(action)
    if tie is None or verb is None or _actor.get() is None:
        return
    what, manager = tie
    others = getattr(instance, manager).all() if pk_set is None else model._default_manager.filter(pk__in=pk_set)
    if names := _names(others):
        _record(f"{what}_changed", instance, {verb: names})


def _record(what: str, row: Model, detail: dict[str, Any] | None = None, *, name: str | None = None) -> None:
    actor = _actor.get()
    assert actor is not None
    kind = str(row._meta.model_name)
    audit.record(actor(), f"{kind}.{what}", f"{kind}:{name or _name(row)}", detail=detail)


def _names(rows: Any) -> list[str]:
    return sorted(_name(row) for row in rows)


def _name(row: Any) -> str:
    if isinstance(row, Permission):
        return f"{row.content_type.app_label}.{row.codename}"
    return str(row.username if isinstance(row, User) else row.name)
