"""The staff UI of tasks: one module for each kind of row. Importing them registers their pages."""

from tasks_app.admin import audit, executions, keys, queues, tasks

__all__ = ["audit", "executions", "keys", "queues", "tasks"]
