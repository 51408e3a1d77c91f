"""Django's registration of this app."""

from django.apps import AppConfig


class MonitoringAppConfig(AppConfig):
    name = "monitoring_app"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"
