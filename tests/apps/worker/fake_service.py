"""A service whose only method, `open`, does what its `path` says: enough to see how requests are served."""

import threading
from collections import defaultdict
from pathlib import Path

from geosam.errors import PromptOutsideScene

#: Paths `wait:NAME` begin, and go on when the test lets them.
begun = defaultdict(threading.Event)
may_go = defaultdict(threading.Event)
#: What was done, in its order.
done = []


class Fake:
    """Also tells which thread it was made in."""

    def __init__(self, **_):
        self.methods = {"open": self.open, "prefetch": self.prefetch, "prepare": self.prepare, "run": self.run}

    def counts(self):
        return {"scenes": 7}

    def prepare(self, _, **__):
        done.append("prepare")

    def open(self, task, *, path):
        done.append(path)
        kind, _, rest = path.partition(":")
        if kind == "wait":
            begun[rest].set()
            while not may_go[rest].wait(0.02):
                task.check()
        if kind == "deaf":  # in a long call that cannot be interrupted
            begun[rest].set()
            may_go[rest].wait(60)
        if kind == "fail":
            raise {"geosam": PromptOutsideScene, "memory": MemoryError, "bug": KeyError, "exit": SystemExit}[rest](
                "why"
            )
        if kind == "code":
            place = Path("a.tif" if rest == "short" else "a" * 10_000)
            raise PromptOutsideScene("far away.", code="far-away", path=place, reach=float("inf"))
        if kind == "cuda":
            raise RuntimeError("CUDA error: unspecified launch failure\nmore")
        if kind == "full":
            raise OSError(28, "No space left on device", "x")
        if kind == "large":
            return {"text": "x" * int(rest)}
        if kind == "nan":
            return {"number": float("nan")}
        return {"path": path}

    def prefetch(self, _, *, scene, **__):
        for step in range(int(scene)):
            done.append(f"step {step}")
            begun[f"step {step}"].set()
            if scene == "3":
                may_go[f"step {step}"].wait(60)
            yield
        return {"windows": int(scene)}

    def run(self, task, *, path, **_):
        return self.open(task, path=path)


def reset():
    begun.clear()
    may_go.clear()
    done.clear()
