"""The staff UI of tasks: one module for each kind of row. Importing them registers their pages."""

from tasks_app.admin import executions, operations, tasks

__all__ = ["executions", "operations", "tasks"]
