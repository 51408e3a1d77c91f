"""Tables of keys, audit and idempotency, and the function that find_key.sql asks for an owner's permissions."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


# What find_key.sql asks of owners who are no superusers. A function, because the server then keeps its plan: planning the
# five tables anew cost each request of the API more than reading them. The same permissions as Django's ModelBackend.
ACCOUNT_PERMISSIONS = """
CREATE OR REPLACE FUNCTION account_permissions(account bigint) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(
    SELECT c.app_label || '.' || p.codename
      FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id
     WHERE p.id IN (SELECT permission_id FROM auth_user_user_permissions WHERE user_id = account
                     UNION ALL
                    SELECT g.permission_id
                      FROM auth_user_groups m JOIN auth_group_permissions g ON g.group_id = m.group_id
                     WHERE m.user_id = account));
END $$;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64, unique=True)),
                ('prefix', models.CharField(max_length=16)),
                ('key_hash', models.BinaryField(max_length=32, unique=True)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('created_by', models.TextField(blank=True, db_default='')),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_address', models.GenericIPAddressField(blank=True, null=True)),
                ('owner', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'api_keys',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.TextField()),
                ('action', models.TextField(help_text='What was done, in the past tense: task.cancelled, queue.paused …')),
                ('target', models.TextField(help_text='What it was done to, as kind:name.')),
                ('task_id', models.UUIDField(blank=True, null=True)),
                ('attempt', models.IntegerField(blank=True, null=True)),
                ('from_status', models.TextField(blank=True, null=True)),
                ('to_status', models.TextField(blank=True, null=True)),
                ('reason', models.TextField(blank=True, db_default='')),
                ('correlation_id', models.TextField(blank=True, db_default='')),
                ('detail', models.JSONField(blank=True, null=True)),
            ],
            options={
                'db_table': 'audit_events',
                'ordering': ['-id'],
                'indexes': [models.Index(models.F('task_id'), models.F('id'), condition=models.Q(('task_id__isnull', False)), name='audit_task'), models.Index(models.F('target'), models.F('id'), condition=models.Q(('task_id__isnull', True)), name='audit_target'), django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['at'], name='audit_at', pages_per_range=32)],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_by', models.TextField()),
                ('key', models.TextField()),
                ('fingerprint', models.BinaryField(max_length=32)),
                ('task_ids', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), help_text='Looked at by retention: the key lives as long as its tasks.', size=None)),
                ('response', models.JSONField(help_text='Of a bulk call; a single task is its own response.', null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('answered_with', models.UUIDField(help_text='The task that was there already, of a request that made none: the key lives as long.', null=True)),
            ],
            options={
                'db_table': 'idempotency_keys',
                'indexes': [models.Index(models.F('answered_with'), condition=models.Q(('answered_with__isnull', False)), name='idempotency_keys_answered')],
                'constraints': [models.UniqueConstraint(fields=('created_by', 'key'), name='idempotency_keys_once')],
            },
        ),
        migrations.RunSQL(ACCOUNT_PERMISSIONS, 'DROP FUNCTION IF EXISTS account_permissions(bigint)'),
    ]
