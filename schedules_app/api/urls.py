"""Routes of the schedules API; each is answered with a trailing slash as well."""

from __future__ import annotations

from access_app.http.base import route
from schedules_app.api import calendar_views, schedule_views

urlpatterns = [
    route("schedules", schedule_views.ScheduleList.as_view(), "schedules"),
    route("schedules/simulate", schedule_views.ScheduleSimulation.as_view(), "schedules-simulate"),
    route("schedules/<schedule_id>", schedule_views.ScheduleDetail.as_view(), "schedule"),
    route("schedules/<schedule_id>/pause", schedule_views.SchedulePause.as_view(), "schedule-pause"),
    route("schedules/<schedule_id>/resume", schedule_views.ScheduleResume.as_view(), "schedule-resume"),
    route("schedules/<schedule_id>/trigger", schedule_views.ScheduleTrigger.as_view(), "schedule-trigger"),
    route("schedules/<schedule_id>/backfill", schedule_views.ScheduleBackfill.as_view(), "schedule-backfill"),
    route("schedules/<schedule_id>/clone", schedule_views.ScheduleClone.as_view(), "schedule-clone"),
    route("schedules/<schedule_id>/fires", schedule_views.ScheduleFires.as_view(), "schedule-fires"),
    route("schedules/<schedule_id>/preview", schedule_views.SchedulePreview.as_view(), "schedule-preview"),
    route("schedules/<schedule_id>/why", schedule_views.ScheduleWhy.as_view(), "schedule-why"),
    route("calendars", calendar_views.CalendarList.as_view(), "calendars"),
    route("calendars/<name>", calendar_views.CalendarDetail.as_view(), "calendar"),
]
