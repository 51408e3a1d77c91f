"""What an end causes: the tasks that wait for it."""
