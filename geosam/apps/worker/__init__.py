"""The worker: a process that owns models and scenes and answers JSON lines; see `docs/worker.md`."""
