"""Staff accounts in the look of the rest: Django's own pages of users and groups, narrowed by ``rules``.

What somebody may not change is shown and not asked for, and a request that sends it all the same is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from access_app.staff.django_versions import HiddenPassword, ListActions
from access_app.staff.strict_filters import StrictFilters
from scheduler_project.accounts import rules
from scheduler_project.accounts.names import OneLineNames
from scheduler_project.accounts.two_tabs import LockedForChange, SeenForm

if TYPE_CHECKING:
    from django.contrib.auth.forms import UserChangeForm as DjangoUserChangeForm

    AdminPasswordChangeForm: Any
    UserCreationForm: Any

    class UserChangeForm(DjangoUserChangeForm[User]): ...

    class UserBase(DjangoUserAdmin[User]): ...

    class GroupBase(DjangoGroupAdmin): ...

else:  # unfold has no types
    from unfold.admin import ModelAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class UserBase(DjangoUserAdmin, ModelAdmin): ...

    class GroupBase(DjangoGroupAdmin, ModelAdmin): ...


_FIELDS: Final = frozenset(field.name for field in (*User._meta.fields, *User._meta.many_to_many))
#: What only the system writes.
_STAMPS: Final = ("last_login", "date_joined")
#: How a form names the parts of a date, and what it showed first.
_PART: Final = re.compile(r"\A(?:initial-)*|_[01]\Z")

admin.site.unregister(User)
admin.site.unregister(Group)


class OfferedFilters(ListActions, StrictFilters):
    """Of Django's lists: filtered by what they offer, not by whatever a column can be asked, patterns among it."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in {f"{name}__{how}" for name in self.list_filter for how in ("exact", "id__exact", "isnull")}


class UserForm(SeenForm, UserChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].widget = HiddenPassword()


@admin.register(User)
class UserAdmin(OfferedFilters, LockedForChange, OneLineNames, UserBase):
    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_manage(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        if request.user.is_superuser:
            return _STAMPS
        return tuple(sorted(_FIELDS - rules.HARMLESS - {"password"}))

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and not request.user.is_superuser:
            refuse_forged(request, rules.CHOSEN_WHEN_NEW if object_id is None else rules.HARMLESS)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """The page that asks for no old password: not for one's own account, which an unlocked screen would lose."""
        with transaction.atomic():
            account = self.get_object(request, unquote(id))
            if account == request.user and account.has_usable_password():
                return HttpResponseRedirect(reverse("admin:password_change"))
            return super().user_change_password(request, id, form_url)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            # A filter by groups makes the query one of distinct rows, which cannot be locked.
            chosen = User.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))
            if not all(self.has_delete_permission(request, account) for account in chosen.select_for_update()):
                raise PermissionDenied
            super().delete_queryset(request, chosen)


@admin.register(Group)
class GroupAdmin(OfferedFilters, LockedForChange, OneLineNames, GroupBase):
    """A group gives rights, and approvals may name it: only superusers change one."""

    form = SeenForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Also with Django's permission to change, which shows and no more."""
        return request.user.has_perm("auth.view_group") or request.user.has_perm("auth.change_group")


def refuse_forged(request: HttpRequest, allowed: frozenset[str]) -> None:
    """Raise `PermissionDenied` when a form sends a field of accounts that it was not shown."""
    sent = {_PART.sub("", name) for name in request.POST}
    if sent & _FIELDS - allowed:
        raise PermissionDenied


def _may_manage(request: HttpRequest, account: User | None) -> bool:
    return account is None or (request.user.is_authenticated and rules.may_manage(request.user, account))
