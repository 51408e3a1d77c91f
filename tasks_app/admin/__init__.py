"""The staff UI of tasks: one module for each kind of row. Importing them registers their pages."""

from tasks_app.admin import executions, failures, finders, operations, tasks

__all__ = ["executions", "failures", "finders", "operations", "tasks"]
