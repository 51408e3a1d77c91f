"""The Django database engine ``scheduler_project.postgresql``; see ``base``."""
