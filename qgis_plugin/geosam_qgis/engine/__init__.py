"""The worker: found, installed, started, spoken to, diagnosed."""
