"""Read by ``gunicorn scheduler_project.wsgi`` when it is started in a checkout. The settings are the project's own."""

from scheduler_project.serving import *  # noqa: F403
