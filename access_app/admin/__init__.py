"""The staff UI of who may do what: API keys and the audit trail. Importing it registers them."""

from access_app.admin import audit, keys

__all__ = ["audit", "keys"]
