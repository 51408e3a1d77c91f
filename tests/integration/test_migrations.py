"""The migrations say what the models say."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

from flow_app.models import SchedulerPass
from monitoring_app.models import MetricMark
from tasks_app.failures import FailureMark
from tests.support.machine import ROOT

STANDING: list[tuple[type[Model], list[str | int]]] = [
    (SchedulerPass, ["assign"]),
    (FailureMark, [1]),
    (MetricMark, ["executions", "minutes"]),
]


@pytest.mark.django_db
class TestMigrations:
    def test_leave_no_change_of_a_model_out(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
class TestStandingRows:
    """What every ``migrate`` and ``flush`` leaves behind."""

    def test_are_all_that_migrations_make(self) -> None:
        texts = (path.read_text() for path in ROOT.glob("*_app/migrations/0*.py"))
        made = {table for text in texts for table in re.findall(r"INSERT INTO (\w+)", text)}
        assert {model._meta.db_table for model, _ in STANDING} == made

    @pytest.mark.parametrize(("model", "keys"), STANDING)
    def test_are_made_again_after_a_flush(self, model: type[Model], keys: list[str | int]) -> None:
        model._default_manager.all().delete()
        emit_post_migrate_signal(0, False, "default")
        assert sorted(model._default_manager.values_list("pk", flat=True)) == keys

    @pytest.mark.parametrize(("model", "keys"), STANDING)
    def test_are_made_with_their_table(self, model: type[Model], keys: list[str | int]) -> None:
        model._default_manager.all().delete()
        loader = MigrationLoader(connection)
        emit_post_migrate_signal(0, False, "default", apps=loader.project_state().apps)
        assert sorted(model._default_manager.values_list("pk", flat=True)) == keys

    @pytest.mark.parametrize("model", [model for model, _ in STANDING])
    def test_wait_for_their_table_when_another_app_is_migrated_alone(self, model: type[Model]) -> None:
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {table}")
        graph = MigrationLoader(connection).graph
        alone = [node for node in graph.leaf_nodes() if node[0] in ("access_app", "auth", "contenttypes")]
        emit_post_migrate_signal(0, False, "default", apps=graph.make_state(alone).apps)
        assert table not in connection.introspection.table_names()
