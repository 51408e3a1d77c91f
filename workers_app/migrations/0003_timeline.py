"""Which history of the database this is: a standby that is promoted, and a restore, begin a new one.

A worker compares it before it starts anything (``start_assigned.sql``): what was acknowledged on the old timeline may be
unknown on the new one, and attempt numbers may be given out again. Both functions may be called by any role; together
they cost some microseconds. ``pg_control_checkpoint`` would not do: it tells of a promotion only at the next checkpoint.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION database_timeline() RETURNS text LANGUAGE sql VOLATILE AS
$$SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) FROM pg_control_system()$$
"""


class Migration(migrations.Migration):
    dependencies = [("workers_app", "0002_storage")]
    operations = [migrations.RunSQL(CREATE, "DROP FUNCTION database_timeline()")]
