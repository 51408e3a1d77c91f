"""Roles an installation starts with: groups with the permissions of the table; one that was there stays as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from access_app import rights as access
from access_app.rights import Action, Person, Role
from access_app.roles import make_roles

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def historical() -> Any:
    """The apps as the migration sees them."""
    return MigrationLoader(None).project_state(("scheduler_project", "0001_roles")).apps


def made(historical: Any) -> None:
    make_roles(historical, SimpleNamespace(connection=connection))


def names(group: Group) -> set[str]:
    found = group.permissions.select_related("content_type")
    return {f"{each.content_type.app_label}.{each.codename}" for each in found}


class TestRoles:
    @pytest.mark.parametrize("role", Role)
    def test_are_there_with_the_permissions_of_the_table(self, role: Role) -> None:
        """Red after a change of the table: a new migration must bring the groups of installations up to it."""
        assert names(Group.objects.get(name=role)) == access.permissions_of(role)

    @pytest.mark.parametrize("role", Role)
    def test_let_their_members_do_what_the_table_says(self, role: Role) -> None:
        user = User.objects.create_user("maria", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        lesser = list(Role)[: list(Role).index(role) + 1]
        assert {action for action in Action if Person(user).may(action)} == {a for a in Action if a.role in lesser}
        assert not Person(user).may(Action.TASK_CREATE, "SHELL")


class TestMakeRoles:
    def test_makes_them_on_a_database_without_any_permission(self, historical: Any) -> None:
        """As on a fresh one, where Django creates permissions only when every migration is done."""
        Group.objects.all().delete()
        Permission.objects.all().delete()
        ContentType.objects.all().delete()
        made(historical)
        assert {group.name: names(group) for group in Group.objects.all()} == {
            role: access.permissions_of(role) for role in Role
        }
        assert Permission.objects.get(codename="view_blackoutcalendar").name == "Can view blackout calendar"

    def test_leaves_what_is_there_as_it_is(self, historical: Any) -> None:
        Group.objects.get(name="Viewer").permissions.clear()
        Group.objects.get(name="Operator").delete()
        before = Permission.objects.count()
        for _ in range(2):
            made(historical)
        assert names(Group.objects.get(name="Viewer")) == set()
        assert names(Group.objects.get(name="Operator")) == access.permissions_of(Role.OPERATOR)
        assert (Group.objects.count(), Permission.objects.count()) == (len(Role), before)
