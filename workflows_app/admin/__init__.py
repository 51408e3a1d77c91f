"""Pages of what ends cause, and their part of the pages of tasks; Django finds them here."""

from tasks_app.admin import why_panel
from workflows_app.admin import batches as batches
from workflows_app.admin import deliveries as deliveries
from workflows_app.admin import endpoints as endpoints
from workflows_app.admin import finders as finders
from workflows_app.admin.why_steps import steps

why_panel.register(steps)
