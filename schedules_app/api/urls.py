"""Routes of the schedules API; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from schedules_app.api.calendar_views import Calendars
from schedules_app.api.schedule_views import Schedules

router = Router()
router.register("schedules", Schedules, "schedule")
router.register("calendars", Calendars, "calendar")
urlpatterns = router.urls
