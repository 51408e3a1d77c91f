"""People of the staff UI, the accounts they try to change, and the pages on which they do."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.test import Client

USERS = "/admin/auth/user/"
GROUPS = "/admin/auth/group/"
PASSWORD = "correct horse 7 battery"
OTHER_PASSWORD = "another staple 9 battery"

#: People, by what they have been given. All but root and visitor are staff and no superusers.
PEOPLE: dict[str, set[str]] = {
    "nobody": set(),
    "viewer": {"auth.view_user", "auth.view_group"},
    "helper": {"auth.view_user", "auth.change_user"},
    "keeper": {"auth.view_user", "auth.add_user", "auth.change_user", "auth.delete_user"},
    "grouper": {"auth.view_group", "auth.add_group", "auth.change_group", "auth.delete_group"},
    "everything": {"*"},
    "root": set(),
}
#: Accounts they try to change.
ACCOUNTS: dict[str, set[str]] = {
    "ordinary": set(),
    "operator": {"tasks_app.change_task"},
    "left": {"tasks_app.change_task"},  # an inactive account, of which Django says that it has no permission
    "chief": set(),  # a superuser
}
#: What each field is changed to.
NEW: dict[str, Any] = {
    "password": "pbkdf2_sha256$1$x$x",
    "last_login": "2020-01-01",
    "is_superuser": "on",
    "username": "renamed",
    "first_name": "Ann",
    "last_name": "Other",
    "email": "ann@example.org",
    "is_staff": "on",
    "is_active": "",
    "date_joined": "2020-01-01",
    "groups": lambda: [str(Group.objects.get_or_create(name="Powerful")[0].pk)],
    "user_permissions": lambda: [str(Permission.objects.get(codename="change_queue").pk)],
}
FIELDS = sorted(field.name for field in (*User._meta.fields, *User._meta.many_to_many) if field.name != "id")
HARMLESS = {"first_name", "last_name", "email", "is_active"}


def person(name: str, permissions: set[str], **fields: Any) -> User:
    user = User.objects.create_user(name, password=PASSWORD, **fields)
    if permissions:
        user.user_permissions.set(granted(permissions))
    return user


def granted(names: set[str]) -> list[int]:
    return [key for label, key in every_permission().items() if label in names or names == {"*"}]


@cache  # they are made with the tables
def every_permission() -> dict[str, int]:
    every = Permission.objects.values_list("content_type__app_label", "codename", "pk")
    return {f"{app}.{codename}": key for app, codename, key in every}


def state(user: User) -> dict[str, Any]:
    fresh = User.objects.get(pk=user.pk)
    ties = {"groups": set(fresh.groups.all()), "user_permissions": set(fresh.user_permissions.all())}
    return {name: ties.get(name) if name in ties else getattr(fresh, name) for name in FIELDS}


def form_of(browser: Client, url: str) -> dict[str, Any]:
    """What the page would send if nothing were changed."""
    response = browser.get(url)
    if response.status_code != 200:
        return {}
    form = response.context_data["adminform"].form
    values: dict[str, Any] = {}
    for name in form.fields:
        value = form.initial.get(name)
        if name == "password" or value in (None, False):
            continue
        values[name] = [str(row.pk) for row in value] if isinstance(value, list) else "on" if value is True else value
    return values


def change(browser: Client, user: User, sent: dict[str, Any] | None = None, **values: Any) -> int:
    """Send the page of an account with other values than it came with; an empty one is left out."""
    url = f"{USERS}{user.pk}/change/"
    sent = dict(form_of(browser, url) if sent is None else sent)
    for name, value in values.items():
        sent |= {f"{name}_0": value, f"{name}_1": "00:00"} if name in ("last_login", "date_joined") else {name: value}
    return browser.post(url, {name: value for name, value in sent.items() if value != ""}).status_code


def new_value(field: str, account: str = "") -> Any:
    """Another value than the account has."""
    if (account, field) == ("left", "is_active"):
        return "on"
    if (account, field) in {("chief", "is_superuser"), ("chief", "is_staff")}:
        return ""
    return NEW[field]() if callable(NEW[field]) else NEW[field]
