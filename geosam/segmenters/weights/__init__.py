"""Checkpoint files: found, downloaded, verified, read."""
