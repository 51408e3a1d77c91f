"""The processes that move tasks, and what they write about themselves."""
