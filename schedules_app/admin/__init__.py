"""The staff UI of schedules: one module for each kind of row. Importing them registers their pages."""

from schedules_app.admin import calendars, finders, fires, schedules

__all__ = ["calendars", "finders", "fires", "schedules"]
