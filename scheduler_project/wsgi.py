"""The WSGI application, for gunicorn or any other server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
application = get_wsgi_application()

from scheduler_project.openapi import document  # noqa: E402 - it needs the apps

# A task type whose schemas have names that are taken ends the process now, and does not wait for somebody to look.
document()
