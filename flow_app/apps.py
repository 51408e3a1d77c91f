"""Django's registration of this app."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as all_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class FlowAppConfig(AppConfig):
    name = "flow_app"
    verbose_name = "Flow"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from flow_app.why import why
        from flow_app.why_frozen import why_frozen
        from tasks_app import reasons

        reasons.register(why_frozen)
        reasons.register(why)
        post_migrate.connect(_make_pass_row, sender=self)


def _make_pass_row(using: str, apps: Apps = all_apps, **_: Any) -> None:
    """Without its row no scheduler could take the pass; a flushed database gets it back.

    ``apps``: those whose tables the database has by now. Other apps may be migrated alone, before this one.
    """
    try:
        model = apps.get_model("flow_app", "SchedulerPass")
    except LookupError:
        return
    model.objects.using(using).get_or_create(name="assign")
