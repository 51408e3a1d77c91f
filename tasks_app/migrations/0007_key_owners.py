import django.db.models.deletion
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
    expands = True

    dependencies = [
        ('tasks_app', '0006_roles'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='last_used_address',
            field=models.GenericIPAddressField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='owner',
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name='+',
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(ACCOUNT_PERMISSIONS, 'DROP FUNCTION IF EXISTS account_permissions(bigint)'),
    ]
