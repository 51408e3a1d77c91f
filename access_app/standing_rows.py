"""Rows that migrations make and that nothing works without: a lock that is taken, a mark that is kept.

A flushed database gets them back: Django sends its signal after each ``migrate`` and each ``flush``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.apps import AppConfig
from django.apps import apps as all_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


def keep(config: AppConfig, model: str, keys: Iterable[str | int]) -> None:
    """Have a table of an app hold rows with these primary keys. Called when the app is ready."""
    make = partial(_make, names=(config.label, model), keys=tuple(keys))
    post_migrate.connect(make, sender=config, weak=False, dispatch_uid=f"{config.label}.{model}")


def _make(*, names: tuple[str, str], keys: tuple[str | int, ...], using: str, apps: Apps = all_apps, **_: Any) -> None:
    """``apps``: those whose tables the database has by now. Other apps may be migrated alone, before this one."""
    try:
        model = apps.get_model(*names)
    except LookupError:
        return
    for key in keys:
        model.objects.using(using).get_or_create(pk=key)
