from django.db import migrations

from tasks_app.roles import make_roles


class Migration(migrations.Migration):
    """The roles Viewer, Operator and Administrator, as groups. Going back leaves them: they may have members."""

    expands = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("schedules_app", "0003_fires_runs"),
        ("tasks_app", "0005_audit_target"),
        ("workers_app", "0003_timeline"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
