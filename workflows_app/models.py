"""Tables of this app; Django finds them here."""

from __future__ import annotations

from workflows_app.batch_table import Batch as Batch
from workflows_app.callbacks.tables import Delivery as Delivery
from workflows_app.callbacks.tables import WebhookEndpoint as WebhookEndpoint
