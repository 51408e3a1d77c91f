"""Whose account somebody may change, and what of it.

Superusers may change everything. Anybody else who has Django's permission may change only what gives nobody a right,
and only of accounts that have no right that they lack themselves: a new password for such an account lets them do
nothing that they may not do as themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib.auth.models import Permission
from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

#: What staff who are no superusers may change of an account: who it is for, and whether it may be used. The user name
#: is not among them: audit rows and tasks name people by it.
HARMLESS: Final = frozenset({"first_name", "last_name", "email", "is_active"})
#: What they may choose of a new account, which has no rights until a superuser gives it some.
CHOSEN_WHEN_NEW: Final = frozenset({"username"})


def may_manage(person: User | AnonymousUser, account: User) -> bool:
    """Whether somebody may change, delete or give a password to an account, given Django's permission for it."""
    if person.is_superuser:
        return True
    return not account.is_superuser and rights_of(account) <= person.get_all_permissions()


def rights_of(account: User) -> set[str]:
    """The permissions an account has been given, itself or through groups, as ``app.codename``.

    Of an inactive one too, of which Django says that it has none: it can be made active again.
    """
    given = Permission.objects.filter(Q(user=account) | Q(group__user=account))
    return {f"{app}.{name}" for app, name in given.values_list("content_type__app_label", "codename")}
