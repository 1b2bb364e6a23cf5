"""Tasks, resumable, on any executor, into one file."""
