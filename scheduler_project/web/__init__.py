"""The web process: where it listens, and how it is served."""
