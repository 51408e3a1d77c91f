"""The staff UI of tasks: one module for each kind of row. Importing them registers their pages."""

from tasks_app.admin import executions, finders, operations, tasks

__all__ = ["executions", "finders", "operations", "tasks"]
