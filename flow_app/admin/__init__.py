"""The staff UI of queues, targets and freezes, and its part of the pages of tasks. Importing it registers it."""

from flow_app.admin import finders, freezes, queues, targets
from flow_app.admin.why_steps import steps
from tasks_app.admin import why_panel

__all__ = ["finders", "freezes", "queues", "targets"]

why_panel.register(steps)
