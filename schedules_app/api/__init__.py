"""Schedules and blackout calendars over HTTP."""
