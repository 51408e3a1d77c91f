"""The migrations say what the models say."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from flow_app.models import SchedulerPass


@pytest.mark.django_db
class TestMigrations:
    def test_leave_no_change_of_a_model_out(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
class TestPassRow:
    """What every ``migrate`` and ``flush`` leaves behind."""

    def test_is_made_again_after_a_flush(self) -> None:
        SchedulerPass.objects.all().delete()
        emit_post_migrate_signal(0, False, "default")
        assert SchedulerPass.objects.get().name == "assign"

    def test_is_made_with_its_table(self) -> None:
        SchedulerPass.objects.all().delete()
        loader = MigrationLoader(connection)
        emit_post_migrate_signal(0, False, "default", apps=loader.project_state().apps)
        assert SchedulerPass.objects.get().name == "assign"

    def test_waits_for_its_table_when_another_app_is_migrated_alone(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE scheduler_pass")
        graph = MigrationLoader(connection).graph
        alone = [node for node in graph.leaf_nodes() if node[0] in ("access_app", "auth", "contenttypes")]
        emit_post_migrate_signal(0, False, "default", apps=graph.make_state(alone).apps)
        assert "scheduler_pass" not in connection.introspection.table_names()
