"""Who may start now: queues, the survey of what is due, and the pass that gives it to workers."""
