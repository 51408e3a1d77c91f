"""The audit trail over HTTP. What every endpoint of every app shares is in ``access_app/http``."""
