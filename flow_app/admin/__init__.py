"""The staff UI of queues and targets. Importing it registers it."""

from flow_app.admin import queues, targets

__all__ = ["queues", "targets"]
