"""What a task is, and every legal change to it."""
