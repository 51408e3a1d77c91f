"""The staff UI of queues. Importing it registers it."""

from flow_app.admin import queues

__all__ = ["queues"]
