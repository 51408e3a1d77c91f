"""Migrations since the last release only add, and what is said to be an offence is one."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now

from tests.support.migration_rules import RELEASED, offences


def migration(*operations: Operation, **attributes: Any) -> migrations.Migration:
    made = migrations.Migration("0099_next", "tasks_app")
    for name, value in {"operations": list(operations), **attributes}.items():
        setattr(made, name, value)
    return made


class TestOffences:
    @pytest.mark.parametrize(
        "operation",
        [
            migrations.AddField("task", "note", models.TextField(null=True)),
            migrations.AddField("task", "seen_at", models.DateTimeField(db_default=Now())),
            migrations.AddIndex("task", models.Index(fields=["type"], name="tasks_type")),
            migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))]),
        ],
        ids=lambda operation: operation.describe(),
    )
    def test_is_none_in_what_only_adds(self, operation: Operation) -> None:
        assert offences(migration(operation)) == []

    @pytest.mark.parametrize(
        "operation",
        [
            migrations.AddField("task", "note", models.TextField()),
            migrations.AddField("task", "note", models.TextField(default="")),
            migrations.RemoveField("task", "queue"),
            migrations.RenameField("task", "queue", "lane"),
            migrations.AlterField("task", "queue", models.IntegerField()),
            migrations.AlterModelTable("task", "jobs"),
            migrations.DeleteModel("Queue"),
            migrations.RemoveIndex("task", "tasks_due"),
            migrations.AddConstraint("task", models.CheckConstraint(name="x", condition=models.Q(attempt=0))),
            migrations.RunSQL("ALTER TABLE tasks DROP COLUMN queue"),
        ],
        ids=lambda operation: operation.describe(),
    )
    def test_is_one_in_what_the_release_before_may_miss(self, operation: Operation) -> None:
        [text] = offences(migration(operation))
        assert text.startswith(type(operation).__name__)

    def test_is_none_in_sql_that_a_person_has_judged(self) -> None:
        assert offences(migration(migrations.RunSQL("CREATE INDEX …"), expands=True)) == []


class TestMigrationsSinceTheLastRelease:
    def test_only_add(self) -> None:
        found = MigrationLoader(None).disk_migrations
        ours = {key: each for key, each in found.items() if key[0] in RELEASED}
        assert {app for app, _ in ours} == {config.label for config in apps.get_app_configs() if is_ours(config)}
        assert {(app, name) for app, name in RELEASED.items() if name} <= ours.keys()
        since = {key: offences(each) for key, each in ours.items() if key[1] > RELEASED[key[0]]}
        assert {key: texts for key, texts in since.items() if texts} == {}


def is_ours(config: Any) -> bool:
    return config.name.split(".")[0] in RELEASED and bool(list(config.get_models()))
