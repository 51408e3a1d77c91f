"""What Django's model state cannot say: when to vacuum. Every fire leaves a dead row version at the head of the due index."""

from django.db import migrations

STORAGE = """
ALTER TABLE schedules SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
                           autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE schedule_fires SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
"""


class Migration(migrations.Migration):
    expands = True
    dependencies = [("schedules_app", "0001_initial")]
    operations = [migrations.RunSQL(STORAGE, migrations.RunSQL.noop)]
