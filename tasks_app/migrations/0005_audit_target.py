from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0004_schedules'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(models.F('target'), models.F('id'), condition=models.Q(('task_id__isnull', True)), name='audit_target'),
        ),
    ]
