"""Benchmarks of the engine: its real processes on a durable PostgreSQL of their own. Run with ``make bench``."""
