"""Every URL of the site. Routes of an app are listed in that app."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from access_app.http.routing import Router
from scheduler_project.docs import Docs, Schema

handler400 = "scheduler_project.error_pages.bad_request"
handler403 = "scheduler_project.error_pages.forbidden"
handler404 = "scheduler_project.error_pages.not_found"
handler500 = "scheduler_project.error_pages.server_error"

router = Router()
router.register("schema", Schema, "schema")
router.register("docs", Docs, "docs")

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("access_app.api.urls")),
    path("", include("tasks_app.api.urls")),
    path("", include("flow_app.api.urls")),
    path("", include("schedules_app.api.urls")),
    path("", include("workers_app.api.urls")),
    path("", include("workflows_app.api.urls")),
    path("", include("monitoring_app.urls")),
    *router.urls,
]
