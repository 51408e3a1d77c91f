"""Django's registration of this app."""

from django.apps import AppConfig

from access_app import standing_rows


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
        standing_rows.keep(self, "SchedulerPass", ["assign"])
