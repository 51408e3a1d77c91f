"""How often a schedule could not be decided, and why; the index of those."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("schedules_app", "0003_fires_runs")]
    operations = [
        migrations.AddField(
            "schedule",
            "put_offs",
            models.IntegerField(db_default=0, help_text="How often in a row it could not be decided."),
        ),
        migrations.AddField(
            "schedule",
            "put_off_reason",
            models.TextField(blank=True, db_default="", help_text="Why not, the last time."),
        ),
        migrations.AddIndex(
            "schedule",
            models.Index("id", name="schedules_put_off", condition=models.Q(("put_offs__gt", 0))),
        ),
    ]
