"""Django's registration of this app."""

from django.apps import AppConfig


class WorkflowsAppConfig(AppConfig):
    name = "workflows_app"
    verbose_name = "Workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from schedules_app import batch_templates
        from tasks_app import notices, reasons
        from workflows_app.callbacks.listening import Endpoints
        from workflows_app.scheduled import Maker
        from workflows_app.why import why

        reasons.register(why)
        notices.register(Endpoints())
        batch_templates.register(Maker())
