"""Who asks, and what was asked: rights, API keys, audit, idempotency; and the kits that API and staff pages share."""
