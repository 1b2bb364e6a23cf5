"""Callbacks of requests that keep their arguments, and a test whether a process lives."""

from pathlib import Path


class Answers:
    """Callbacks that keep their results and failures."""

    def __init__(self):
        self.results, self.failures = [], []

    def __len__(self):
        return len(self.results) + len(self.failures)

    def ask(self, client, method, params=None, **more):
        return client.request(method, params or {}, self.results.append, self.failures.append, **more)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
