"""Reads of monitoring that the ORM cannot say in one bounded statement, and the one write: adding up its own totals."""
