"""A worker as tests see it: a process or a server on two pipes, whose messages a thread collects."""

import base64
import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import MappingProxyType

import shapely

import geosam
from geosam.apps.worker import protocol
from geosam.apps.worker.pipes import Outbox, read_lines
from geosam.apps.worker.protocol import Reply, Request
from geosam.apps.worker.server import Server

COMMAND = [sys.executable, "-m", "geosam", "worker"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(geosam.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
#: Machines that run tests are shared: so long may anything take (seconds).
PATIENCE = 60
MODEL = {"name": "threshold"}


class Client:
    """Asks over one pipe and collects what comes from another."""

    def __init__(self, outgoing, incoming):
        self._outgoing, self._incoming = outgoing, incoming
        self._ids = itertools.count(1)
        self._come = queue.Queue()
        self._answered = set()
        self.replies = []
        self.notes = []
        threading.Thread(target=self._collect, daemon=True).start()

    def write(self, data):
        """Bytes for the worker, whatever they are."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._outgoing, left) :]

    def send(self, method, **params):
        """Ask, and return the id."""
        number = next(self._ids)
        self.write(protocol.request(number, method, params))
        return number

    def tell(self, method, **params):
        self.write(protocol.notification(method, params))

    def reply(self, number):
        """The answer to a request, as soon as it is there."""
        self.wait_for(lambda: number in self._answered)
        (found,) = [reply for reply in self.replies if reply.id == number]
        return found

    def ask(self, method, **params):
        """The result of a request."""
        reply = self.reply(self.send(method, **params))
        assert reply.error is None, reply.error
        return reply.result

    def refused(self, method, **params):
        """The error of a request."""
        reply = self.reply(self.send(method, **params))
        assert reply.error is not None, reply.result
        return reply.error

    def wait_for(self, condition):
        """Take messages until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            try:
                message = self._come.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no such message in {PATIENCE} s; {self.notes[-3:]}") from None
            if message is None:
                self._come.put(None)
                raise EOFError("the worker is gone")
            if isinstance(message, Request):
                self.notes.append(message)
            else:
                self.replies.append(message)
                self._answered.add(message.id)

    def end(self):
        """All messages until the worker is gone."""
        with contextlib.suppress(EOFError):
            self.wait_for(lambda: False)

    def close(self):
        """End what the worker reads."""
        os.close(self._outgoing)

    def of(self, method):
        """Parameters of the notifications of a method."""
        return [note.params for note in self.notes if note.method == method]

    def _collect(self):
        with contextlib.suppress(OSError):
            for line in read_lines(self._incoming):
                message = protocol.decode(line)
                assert isinstance(message, (Request, Reply))
                self._come.put(message)
        self._come.put(None)


class Worker(Client):
    """A worker's process."""

    def __init__(self, *args, command=COMMAND, **options):
        self.process = subprocess.Popen(
            [*command, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            **options,
        )
        self.errors = b""
        threading.Thread(target=self._listen, daemon=True).start()
        super().__init__(self.process.stdin.fileno(), self.process.stdout.fileno())

    def greet(self, **params):
        return self.ask("initialize", protocol=protocol.VERSION, **params)

    def close(self):
        self.process.stdin.close()

    def stop(self):
        """End it, however it is."""
        self.process.kill()
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def _listen(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stderr:
                self.errors += line


class LocalServer(Client):
    """A server in this process; `settings` are those of its services."""

    def __init__(self, settings=MappingProxyType({})):
        requests, answers = os.pipe(), os.pipe()
        self.broken, self.ended = threading.Event(), threading.Event()
        self.outbox = Outbox(answers[1], self.broken.set)
        self.server = Server(self.outbox, self.ended.set, settings)
        self._fds = (requests[0], answers[1])
        self._reader = threading.Thread(target=self._read, args=(requests[0],), daemon=True)
        self._reader.start()
        super().__init__(requests[1], answers[0])

    def _read(self, incoming):
        for line in read_lines(incoming):
            self.server.handle(line)

    def stop(self):
        """End it; returns whether everything stopped in time."""
        with contextlib.suppress(OSError):
            self.close()
        deadline = time.monotonic() + PATIENCE
        while not (stopped := self.server.close(PATIENCE)) and time.monotonic() < deadline:
            continue
        self.outbox.close(PATIENCE)
        self._reader.join(PATIENCE)
        for descriptor in self._fds:
            os.close(descriptor)
        self.end()
        os.close(self._incoming)
        return stopped


def point(x, y, label=1):
    """A step."""
    return {"kind": "point", "label": label, "rings": [[[x, y]]]}


def draft(*steps, crs="EPSG:32633", granularity="auto"):
    """A draft as JSON."""
    return json.loads(json.dumps({"crs": crs, "granularity": granularity, "steps": steps}))


def place(scene, col, row):
    """Map coordinates of a pixel's centre."""
    a, b, c, d, e, f = scene["transform"]
    return a * (col + 0.5) + b * (row + 0.5) + c, d * (col + 0.5) + e * (row + 0.5) + f


def ask(worker, scene, *steps, **params):
    return worker.ask("segment", scene=scene["scene"], model=MODEL, draft=draft(*steps), **params)


def shape(found):
    return shapely.from_wkb(base64.b64decode(found["wkb"]))


def comparable(shapes):
    """WKB of shapes as a GeoPackage has them, wherever their rings begin, in a stated order."""
    return sorted(shapely.multipolygons(shapely.get_parts(one)).normalize().wkb for one in shapes)
