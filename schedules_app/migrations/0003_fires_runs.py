"""The index of rows that stand for many slots."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules_app", "0002_storage")]
    operations = [
        migrations.AddIndex(
            "schedulefire",
            models.Index(
                "schedule_id",
                "last_slot",
                name="fires_runs",
                condition=models.Q(("last_slot__isnull", False)),
            ),
        ),
    ]
