"""Staff accounts in the look of the rest: Django's own pages of users and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User

if TYPE_CHECKING:
    from typing import Any

    AdminPasswordChangeForm: Any
    UserChangeForm: Any
    UserCreationForm: Any

    class UserBase(DjangoUserAdmin[User]): ...

    class GroupBase(DjangoGroupAdmin): ...

else:  # unfold has no types
    from unfold.admin import ModelAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class UserBase(DjangoUserAdmin, ModelAdmin): ...

    class GroupBase(DjangoGroupAdmin, ModelAdmin): ...


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(UserBase):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(GroupBase):
    pass
