"""Tables of schedules, and when to vacuum them: every fire leaves a dead row version at the head of the due index."""

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.functions.datetime
import schedules_app.calendars
import schedules_app.firing_rules
import schedules_app.recurrence.base
from django.db import migrations, models


STORAGE = """
ALTER TABLE schedules SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
                           autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE schedule_fires SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='BlackoutCalendar',
            fields=[
                ('name', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('description', models.TextField(blank=True, db_default='')),
                ('timezone', models.TextField(db_default='UTC')),
                ('on_blackout', models.TextField(choices=[(schedules_app.calendars.OnBlackout['SKIP'], schedules_app.calendars.OnBlackout['SKIP']), (schedules_app.calendars.OnBlackout['RUN_AT_END'], schedules_app.calendars.OnBlackout['RUN_AT_END'])], db_default=schedules_app.calendars.OnBlackout['SKIP'])),
                ('ranges', models.JSONField()),
                ('version', models.IntegerField(db_default=1)),
                ('created_by', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'blackout_calendars',
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('on_blackout__in', ['skip', 'run_at_end'])), name='calendars_on_blackout')],
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv7: sorts by creation time.', primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(help_text='The instant in the id.')),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('anchor_at', models.DateTimeField(help_text='What an interval or RRULE counts from when startAt is not given.')),
                ('defined_at', models.DateTimeField(help_text='Since when it has the times it has.')),
                ('start_at', models.DateTimeField(blank=True, null=True)),
                ('end_at', models.DateTimeField(blank=True, null=True)),
                ('paused_at', models.DateTimeField(blank=True, help_text='The latest pause. Paused: without resumed_at.', null=True)),
                ('resumed_at', models.DateTimeField(blank=True, null=True)),
                ('next_slot', models.DateTimeField(blank=True, help_text='The first slot not decided yet.', null=True)),
                ('next_fire_at', models.DateTimeField(blank=True, help_text='When that one is due: with its jitter.', null=True)),
                ('last_slot', models.DateTimeField(help_text='Slots up to here are decided, or not wanted: the newest decided, the creation, the last edit.')),
                ('last_local', models.DateTimeField(help_text='Its wall clock, kept as if it were UTC: new rules of the zone must not repeat it.')),
                ('last_fire_at', models.DateTimeField(blank=True, help_text='When it last made a task by itself.', null=True)),
                ('put_offs', models.IntegerField(db_default=0, help_text='How often in a row it could not be decided.')),
                ('put_off_reason', models.TextField(blank=True, db_default='', help_text='Why not, the last time.')),
                ('version', models.IntegerField(db_default=1, help_text='Grows by one with every edit; the ETag.')),
                ('interval_seconds', models.IntegerField(blank=True, null=True)),
                ('jitter_seconds', models.IntegerField(db_default=0)),
                ('misfire_max_runs', models.IntegerField(db_default=10)),
                ('misfire_grace_seconds', models.IntegerField(db_default=60)),
                ('enabled', models.BooleanField(db_default=True)),
                ('name', models.CharField(max_length=100, unique=True)),
                ('description', models.TextField(blank=True, db_default='')),
                ('cron', models.TextField(blank=True, null=True)),
                ('rrule', models.TextField(blank=True, null=True)),
                ('timezone', models.TextField(db_default='UTC')),
                ('misfire_policy', models.TextField(choices=[(schedules_app.firing_rules.Misfire['SKIP'], schedules_app.firing_rules.Misfire['SKIP']), (schedules_app.firing_rules.Misfire['RUN_ONCE'], schedules_app.firing_rules.Misfire['RUN_ONCE']), (schedules_app.firing_rules.Misfire['RUN_ALL'], schedules_app.firing_rules.Misfire['RUN_ALL'])], db_default=schedules_app.firing_rules.Misfire['RUN_ONCE'])),
                ('overlap', models.TextField(choices=[(schedules_app.firing_rules.Overlap['ALLOW'], schedules_app.firing_rules.Overlap['ALLOW']), (schedules_app.firing_rules.Overlap['SKIP'], schedules_app.firing_rules.Overlap['SKIP']), (schedules_app.firing_rules.Overlap['QUEUE_ONE'], schedules_app.firing_rules.Overlap['QUEUE_ONE']), (schedules_app.firing_rules.Overlap['CANCEL_RUNNING'], schedules_app.firing_rules.Overlap['CANCEL_RUNNING'])], db_default=schedules_app.firing_rules.Overlap['SKIP'])),
                ('dst_gap', models.TextField(choices=[(schedules_app.recurrence.base.DstGap['RUN_AFTER'], schedules_app.recurrence.base.DstGap['RUN_AFTER']), (schedules_app.recurrence.base.DstGap['SKIP'], schedules_app.recurrence.base.DstGap['SKIP'])], db_default=schedules_app.recurrence.base.DstGap['RUN_AFTER'])),
                ('dst_fold', models.TextField(choices=[(schedules_app.recurrence.base.DstFold['ONCE'], schedules_app.recurrence.base.DstFold['ONCE']), (schedules_app.recurrence.base.DstFold['TWICE'], schedules_app.recurrence.base.DstFold['TWICE'])], db_default=schedules_app.recurrence.base.DstFold['ONCE'])),
                ('calendars', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, db_default=[], default=list, size=None)),
                ('zone_rules', models.TextField(blank=True, db_default='', help_text='The rules under which next_slot was computed.')),
                ('created_by', models.TextField()),
                ('paused_by', models.TextField(blank=True, db_default='')),
                ('pause_reason', models.TextField(blank=True, db_default='')),
                ('idempotency_key', models.TextField(blank=True, null=True)),
                ('task', models.JSONField(blank=True, help_text='The template: as for POST /tasks, without scheduleAt. NULL: it makes batches.', null=True)),
                ('batch', models.JSONField(blank=True, help_text='Instead of a task: as for POST /batches.', null=True)),
                ('callback', models.JSONField(blank=True, help_text='Of its tasks that say nothing of one.', null=True)),
            ],
            options={
                'db_table': 'schedules',
                'ordering': ['name'],
                'indexes': [models.Index(models.F('next_fire_at'), condition=models.Q(('next_fire_at__isnull', False)), name='schedules_due'), models.Index(models.F('id'), condition=models.Q(('put_offs__gt', 0)), name='schedules_put_off')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('cron__isnull', False), ('interval_seconds__isnull', True), ('rrule__isnull', True)), models.Q(('cron__isnull', True), ('interval_seconds__isnull', False), ('rrule__isnull', True)), models.Q(('cron__isnull', True), ('interval_seconds__isnull', True), ('rrule__isnull', False)), _connector='OR'), name='schedules_one_recurrence'), models.CheckConstraint(condition=models.Q(models.Q(('batch__isnull', True), ('task__isnull', False)), models.Q(('batch__isnull', False), ('task__isnull', True)), _connector='OR'), name='schedules_one_template'), models.CheckConstraint(condition=models.Q(models.Q(('next_fire_at__isnull', True), ('next_slot__isnull', True)), models.Q(('enabled', True), ('next_fire_at__isnull', False), ('next_slot__isnull', False)), _connector='OR'), name='schedules_next'), models.CheckConstraint(condition=models.Q(('resumed_at__isnull', True), ('paused_at__isnull', False), _connector='OR'), name='schedules_pause'), models.CheckConstraint(condition=models.Q(('jitter_seconds__range', (0, 3600)), ('misfire_grace_seconds__gte', 0), ('misfire_max_runs__range', (1, 100))), name='schedules_ranges'), models.CheckConstraint(condition=models.Q(('dst_fold__in', ['once', 'twice']), ('dst_gap__in', ['run_after', 'skip']), ('misfire_policy__in', ['skip', 'run_once', 'run_all']), ('overlap__in', ['allow', 'skip', 'queue_one', 'cancel_running'])), name='schedules_choices')],
            },
        ),
        migrations.CreateModel(
            name='ScheduleFire',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('schedule_id', models.UUIDField()),
                ('slot', models.DateTimeField(help_text='The intended time.')),
                ('last_slot', models.DateTimeField(null=True)),
                ('due_at', models.DateTimeField(help_text='The intended time with its jitter.')),
                ('decided_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
                ('task_id', models.UUIDField(null=True)),
                ('batch_id', models.UUIDField(null=True)),
                ('state', models.TextField(choices=[(schedules_app.firing_rules.FireState['FIRED'], schedules_app.firing_rules.FireState['FIRED']), (schedules_app.firing_rules.FireState['LATE'], schedules_app.firing_rules.FireState['LATE']), (schedules_app.firing_rules.FireState['COALESCED'], schedules_app.firing_rules.FireState['COALESCED']), (schedules_app.firing_rules.FireState['SKIPPED_OVERLAP'], schedules_app.firing_rules.FireState['SKIPPED_OVERLAP']), (schedules_app.firing_rules.FireState['SKIPPED_BLACKOUT'], schedules_app.firing_rules.FireState['SKIPPED_BLACKOUT']), (schedules_app.firing_rules.FireState['SKIPPED_PAUSED'], schedules_app.firing_rules.FireState['SKIPPED_PAUSED']), (schedules_app.firing_rules.FireState['SKIPPED_DST'], schedules_app.firing_rules.FireState['SKIPPED_DST']), (schedules_app.firing_rules.FireState['MISSED'], schedules_app.firing_rules.FireState['MISSED'])])),
                ('note', models.TextField(blank=True, db_default='')),
            ],
            options={
                'db_table': 'schedule_fires',
                'ordering': ['-slot'],
                'indexes': [models.Index(models.F('decided_at'), name='fires_decided'), models.Index(models.F('schedule_id'), models.F('last_slot'), condition=models.Q(('last_slot__isnull', False)), name='fires_runs')],
                'constraints': [models.UniqueConstraint(fields=('schedule_id', 'slot'), name='fires_slot'), models.CheckConstraint(condition=models.Q(('state__in', ['FIRED', 'LATE', 'COALESCED', 'SKIPPED_OVERLAP', 'SKIPPED_BLACKOUT', 'SKIPPED_PAUSED', 'SKIPPED_DST', 'MISSED'])), name='fires_state'), models.CheckConstraint(condition=models.Q(models.Q(('batch_id__isnull', True), ('task_id__isnull', True)), models.Q(models.Q(('task_id__isnull', True), ('batch_id__isnull', True), _connector='OR'), ('state__in', ['FIRED', 'LATE'])), _connector='OR'), name='fires_task')],
            },
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
