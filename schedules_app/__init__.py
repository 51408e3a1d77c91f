"""Recurring schedules: which moments a schedule means, what is decided about each, and the ledger of decisions."""
