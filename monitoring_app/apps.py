"""Django's registration of this app."""

from importlib import import_module

from django.apps import AppConfig

from access_app import standing_rows


class MonitoringAppConfig(AppConfig):
    name = "monitoring_app"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("monitoring_app.receivers")
        import_module("monitoring_app.minutes").register()
        standing_rows.keep(self, "MetricMark", ["executions", "minutes"])
