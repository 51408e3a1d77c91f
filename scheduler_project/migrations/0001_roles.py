from django.db import migrations

from access_app.roles import make_roles


class Migration(migrations.Migration):
    """The roles Viewer, Operator and Administrator, as groups. Going back leaves them: they may have members."""

    expands = True

    dependencies = [
        ("access_app", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("flow_app", "0001_initial"),
        ("monitoring_app", "0001_initial"),
        ("schedules_app", "0001_initial"),
        ("tasks_app", "0001_initial"),
        ("workers_app", "0001_initial"),
        ("workflows_app", "0001_initial"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
