"""The groups of people that an installation starts with. For migrations; what each may do is said by ``rights``."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.management import create_permissions

from access_app.rights import Role, permissions_of

#: Whose models people have permissions for.
_APPS: Final = (
    *("access_app", "flow_app", "tasks_app", "schedules_app", "workers_app", "workflows_app"),
    "monitoring_app",
)


def make_roles(apps: Any, schema_editor: Any) -> None:
    """Create the group of each role, with its permissions. Safe to repeat.

    A group of that name that is there already is somebody's own: adding permissions would give them to its members, so
    it stays as it is. Django creates permissions after all migrations, which on a fresh database is too late.
    """
    alias = schema_editor.connection.alias
    for label in _APPS:
        _create_permissions(apps.get_app_config(label), apps, alias)
    for role in Role:
        group, made = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=role.value)
        if made:
            group.permissions.set(_permissions(apps, alias, permissions_of(role)))


def _create_permissions(app_config: Any, apps: Any, alias: str) -> None:
    app_config.models_module = True  # the app of a migration's state has none, and would be passed over
    create_permissions(app_config, verbosity=0, interactive=False, using=alias, apps=apps)
    app_config.models_module = None


def _permissions(apps: Any, alias: str, names: frozenset[str]) -> list[Any]:
    known = apps.get_model("auth", "Permission").objects.using(alias).select_related("content_type")
    return [each for each in known if f"{each.content_type.app_label}.{each.codename}" in names]
