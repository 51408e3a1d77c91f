"""Tables of those who are told of ends, of what was delivered, and of batches."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import django.db.models.lookups
import workflows_app.batch_rules
from django.db import migrations, models


STORAGE = """
ALTER TABLE batches SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
                         autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tasks_app', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('previous_until', models.DateTimeField(blank=True, help_text='Until when the secret before signs, too.', null=True)),
                ('failing_since', models.DateTimeField(blank=True, help_text='NULL: the last delivery that ended arrived.', null=True)),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('last_delivery', models.UUIDField(blank=True, help_text='Of an ordered one: what the next waits for.', null=True)),
                ('version', models.IntegerField(db_default=1, help_text='Grows by one with every edit; the ETag.')),
                ('ordered', models.BooleanField(db_default=False)),
                ('name', models.CharField(max_length=100, unique=True)),
                ('url', models.TextField()),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, db_default=[], default=list, size=None)),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, help_text='NULL: of every queue.', null=True, size=None)),
                ('include', models.TextField(blank=True, null=True)),
                ('disabled', models.TextField(blank=True, help_text='Why nothing is delivered; NULL: it is.', null=True)),
                ('created_by', models.TextField()),
                ('secret', models.BinaryField(max_length=32)),
                ('previous_secret', models.BinaryField(blank=True, max_length=32, null=True)),
            ],
            options={
                'db_table': 'webhook_endpoints',
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('disabled__isnull', True), ('disabled__in', ['gone', 'failing', 'by_hand']), _connector='OR'), models.Q(('include__isnull', True), ('include__in', ['result']), _connector='OR'), ('events__contained_by', ['task.succeeded', 'task.failed', 'task.cancelled', 'task.quarantined', 'task.late_result'])), name='webhook_endpoints_sets'), models.CheckConstraint(condition=models.Q(models.Q(('disabled__isnull', True), ('disabled_at__isnull', True)), models.Q(('disabled__isnull', False), ('disabled_at__isnull', False)), _connector='OR'), name='webhook_endpoints_disabled'), models.CheckConstraint(condition=models.Q(models.Q(('previous_secret__isnull', True), ('previous_until__isnull', True)), models.Q(('previous_secret__isnull', False), ('previous_until__isnull', False)), _connector='OR'), name='webhook_endpoints_rotated')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('task', models.OneToOneField(db_column='id', db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='tasks_app.task')),
                ('source_id', models.UUIDField(help_text='The task whose end it is about.')),
                ('redelivers', models.UUIDField(blank=True, help_text='The delivery that it repeats.', null=True)),
                ('event', models.TextField()),
                ('webhook_id', models.TextField(help_text='The id of the message: the same however often it is sent.')),
                ('url', models.TextField()),
                ('digest', models.BinaryField(help_text='SHA-256 of the body: nothing else is signed.', max_length=32)),
                ('endpoint', models.ForeignKey(blank=True, db_constraint=False, db_index=False, help_text="NULL: the url of a task's own callback.", null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='workflows_app.webhookendpoint')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'db_table': 'deliveries',
                'ordering': ['-task_id'],
                'indexes': [models.Index(models.F('endpoint_id'), models.F('task_id'), name='deliveries_endpoint'), models.Index(models.F('source_id'), models.F('task_id'), name='deliveries_source')],
            },
        ),
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv7: sorts by creation time.', primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(help_text='The instant in the id.')),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('completed_at', models.DateTimeField(blank=True, help_text='When it was done the last time; stays while it runs again.', null=True)),
                ('cancelled_at', models.DateTimeField(blank=True, help_text='When somebody cancelled it as a whole.', null=True)),
                ('parent_id', models.UUIDField(blank=True, help_text='The batch it is part of.', null=True)),
                ('schedule_id', models.UUIDField(blank=True, help_text='The recurring schedule that made it.', null=True)),
                ('scheduled_for', models.DateTimeField(blank=True, help_text='The time of the schedule it was made for.', null=True)),
                ('version', models.IntegerField(db_default=1, help_text='Grows by one with every change; the ETag.')),
                ('completion', models.IntegerField(db_default=0, help_text='How often it was done.')),
                ('fail_fast', models.IntegerField(blank=True, help_text='How many may fail before the rest is cancelled.', null=True)),
                ('depth', models.SmallIntegerField(db_default=0, help_text='How many batches it lies in.')),
                ('fail_fast_is_percent', models.BooleanField(db_default=False)),
                ('stopping', models.BooleanField(db_default=False, help_text='What waits in it is to be cancelled.')),
                ('look', models.BooleanField(db_default=False, help_text='A scheduler has to look, though nothing in it has ended.')),
                ('has_dependents', models.BooleanField(db_default=False, help_text='Others wait for its end: somebody has to look when it has ended.')),
                ('name', models.TextField()),
                ('status', models.TextField(choices=[(workflows_app.batch_rules.BatchStatus['OPEN'], workflows_app.batch_rules.BatchStatus['OPEN']), (workflows_app.batch_rules.BatchStatus['RUNNING'], workflows_app.batch_rules.BatchStatus['RUNNING']), (workflows_app.batch_rules.BatchStatus['SUCCESS'], workflows_app.batch_rules.BatchStatus['SUCCESS']), (workflows_app.batch_rules.BatchStatus['FAILED'], workflows_app.batch_rules.BatchStatus['FAILED']), (workflows_app.batch_rules.BatchStatus['CANCELLED'], workflows_app.batch_rules.BatchStatus['CANCELLED'])])),
                ('created_by', models.TextField()),
                ('correlation_id', models.TextField(blank=True, null=True)),
                ('idempotency_key', models.TextField(blank=True, null=True)),
                ('on_complete', models.JSONField(blank=True, null=True)),
                ('on_success', models.JSONField(blank=True, null=True)),
                ('on_failure', models.JSONField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'batches',
                'db_table': 'batches',
                'ordering': ['-id'],
                'indexes': [models.Index(models.F('parent_id'), models.F('finished_at'), condition=models.Q(('parent_id__isnull', False)), name='batches_inner'), models.Index(models.F('id'), condition=models.Q(('look', True)), name='batches_to_look_at'), models.Index(models.F('finished_at'), condition=models.Q(('has_dependents', True), ('finished_at__isnull', False)), name='batches_ended_parents'), models.Index(models.F('finished_at'), condition=models.Q(django.db.models.lookups.GreaterThan(models.F('finished_at'), django.db.models.functions.comparison.Cast(models.Value('-infinity'), models.DateTimeField()))), name='batches_ended'), models.Index(models.F('schedule_id'), condition=models.Q(('finished_at__isnull', True), ('schedule_id__isnull', False)), name='batches_schedule_open'), models.Index(models.F('schedule_id'), models.F('id'), condition=models.Q(('schedule_id__isnull', False)), name='batches_schedule'), models.Index(models.F('name'), models.F('created_at'), name='batches_named'), models.Index(models.F('id'), condition=models.Q(('finished_at__isnull', True)), name='batches_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('status__in', ['OPEN', 'RUNNING'])), models.Q(('finished_at__isnull', False), ('status__in', ['CANCELLED', 'FAILED', 'SUCCESS'])), _connector='OR'), name='batches_state'), models.CheckConstraint(condition=models.Q(('completion__gte', 0), ('depth__range', (0, 10)), models.Q(('fail_fast__isnull', True), ('fail_fast__gte', 1), _connector='OR')), name='batches_ranges'), models.CheckConstraint(condition=models.Q(('id', models.F('parent_id')), _negated=True), name='batches_nested')],
            },
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
