"""An index of the few attempts whose result came too late, by the time it came.

Read by ``monitoring_app/sql/count_new_executions.sql``. It costs an insert of an execution one test of a NULL, and holds
nothing while nothing is late. Not a model's index, because Django has no name for ``->>`` in one.
"""

from django.db import migrations

CREATE = "CREATE INDEX executions_late ON task_executions ((late ->> 'at')) WHERE late IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("tasks_app", "0002_storage")]
    operations = [migrations.RunSQL(CREATE, "DROP INDEX executions_late")]
