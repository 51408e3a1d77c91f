"""Django's registration of this app."""

from django.apps import AppConfig


class SchedulesAppConfig(AppConfig):
    name = "schedules_app"
    verbose_name = "Schedules"
    default_auto_field = "django.db.models.BigAutoField"
