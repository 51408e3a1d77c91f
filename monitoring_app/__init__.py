"""Whether the system is well: it reads, counts and shows, and changes no task."""
