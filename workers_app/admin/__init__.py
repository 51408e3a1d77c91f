"""Pages of workers and schedulers: who is alive, how loaded, and the button that drains a worker."""

from workers_app.admin import finders, schedulers, workers

__all__ = ["finders", "schedulers", "workers"]
