"""Pages of what ends cause; Django finds them here."""

from workflows_app.admin import deliveries as deliveries
from workflows_app.admin import endpoints as endpoints
