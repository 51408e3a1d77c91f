"""Django's registration of this app."""

from django.apps import AppConfig


class AccessAppConfig(AppConfig):
    name = "access_app"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"
