"""The people of the site: whose account somebody may change, the audit trail of such changes, logging in."""
