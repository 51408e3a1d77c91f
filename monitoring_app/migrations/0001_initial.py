"""Tables of running totals, which begin with the whole history."""

import django.db.models.functions.datetime
from django.db import migrations, models




class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='MetricMark',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('counted_id', models.BigIntegerField(db_default=0)),
                ('seen_id', models.BigIntegerField(db_default=0)),
                ('seen_xid', models.BigIntegerField(db_default=0)),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('late_at', models.TextField(db_default='')),
            ],
            options={
                'db_table': 'metric_marks',
            },
        ),
        migrations.CreateModel(
            name='MetricTotal',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('metric', models.TextField(help_text='attempts, duration, start_delay or late.')),
                ('type', models.TextField()),
                ('status', models.TextField(help_text='Of the attempt; empty for other metrics.')),
                ('task_status', models.TextField(help_text="Where the attempt's end took the task; empty for other metrics.")),
                ('le', models.FloatField(help_text="The bucket's upper bound in seconds, so that other bounds may come later.")),
                ('n', models.BigIntegerField()),
                ('seconds', models.FloatField()),
            ],
            options={
                'db_table': 'metric_totals',
                'constraints': [models.UniqueConstraint(fields=('metric', 'type', 'status', 'task_status', 'le'), name='metric_totals_once')],
            },
        ),
        migrations.CreateModel(
            name='Mark',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('name', models.TextField()),
                ('created_by', models.TextField()),
            ],
            options={
                'db_table': 'marks',
                'ordering': ['-at', '-id'],
                'constraints': [models.UniqueConstraint(fields=('at', 'name'), name='marks_once')],
            },
        ),
        migrations.RunSQL("INSERT INTO metric_marks (name) VALUES ('executions')", migrations.RunSQL.noop),
    ]
