"""What ends cause, over HTTP."""
