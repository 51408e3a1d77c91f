"""Who may approve something: the members of a group, or who holds a scope. ``group:NAME`` or ``scope:NAME``.

A key is a member of no group. A person holds a scope who could give it to a key: who may do all that it allows. A key
and the account that it belongs to are one, so nobody approves under another name what they have asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.contrib.auth.models import Group

from access_app.models import ApiKey
from access_app.rights import Caller, KeyCaller, Person, grantable
from access_app.rights.approvers import GROUP, SCOPE


def missing_groups(approvers: Iterable[str]) -> set[str]:
    """The groups that are named and not there."""
    names = {name for kind, _, name in (text.partition(":") for text in approvers) if kind == GROUP}
    return names - set(Group.objects.filter(name__in=names).values_list("name", flat=True)) if names else set()


def refusal_of(caller: Caller, approvers: str, requesters: Collection[str] = ()) -> str | None:
    """Why a caller may not approve; None when they may. ``requesters`` are names of callers."""
    kind, _, name = approvers.partition(":")
    if not (_is_member(caller, name) if kind == GROUP else _holds(caller, name)):
        return f"Only who belongs to the {kind} {name} may decide about this."
    if requesters and _accounts([caller.name]) & _accounts(requesters):
        return "Somebody else must decide about this: you have asked for it, or changed it."
    return None


def approvers_of(person: Person) -> list[str]:
    """All that a person is one of."""
    groups = Group.objects.filter(user__username=person.account.get_username()).values_list("name", flat=True)
    return [*(f"{GROUP}:{name}" for name in groups), *(f"{SCOPE}:{scope}" for scope in grantable(person))]


def _is_member(caller: Caller, group: str) -> bool:
    name = caller.account.get_username() if isinstance(caller, Person) else None
    return name is not None and Group.objects.filter(name=group, user__username=name).exists()


def _holds(caller: Caller, scope: str) -> bool:
    if isinstance(caller, KeyCaller):
        return scope in caller.scopes
    return isinstance(caller, Person) and scope in grantable(caller)


def _accounts(callers: Iterable[str]) -> set[str]:
    """Callers by name, with the accounts that keys among them belong to."""
    names = set(callers)
    owners = ApiKey.objects.filter(name__in=names, owner__isnull=False).values_list("owner__username", flat=True)
    return names | {f"user:{owner}" for owner in owners}
