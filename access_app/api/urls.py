"""Routes of the audit trail; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.api.audit import Audit
from access_app.http.routing import Router

router = Router()
router.register("audit", Audit, "audit")
urlpatterns = router.urls
