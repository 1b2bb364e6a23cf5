"""The worker's two pipes: claimed before anything else can write to them, read line by line, written by a thread.

Libraries below Python print to file descriptor 1 as they like. So the descriptors that the client knows are moved to
private numbers, and what is printed from then on goes to standard error.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from geosam.apps.worker.protocol import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Bytes read at once.
_PIECE = 1 << 16
#: Bytes that wait to be written before answers and notifications have to wait.
ROOM = 4 << 20
#: Bytes beyond these that only errors may use, so that requests are read, and cancelled, while nobody reads answers.
RESERVE = 4 << 20
#: Bytes that may wait when something is added that nobody has to see.
_LITTLE = 1 << 16
#: How often somebody who waits for room looks whether it is still wanted (seconds).
_LOOK_S = 0.1


class Pipes(NamedTuple):
    """The client's pipes, as file descriptors that nobody else knows."""

    incoming: int
    """Requests come from here."""
    outgoing: int
    """Answers go here."""


def claim_pipes() -> Pipes:
    """Take standard input and output away from everybody else; what is printed goes to standard error from now on."""
    sys.stdout.flush()
    pipes = Pipes(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return pipes


def read_lines(incoming: int) -> Iterator[bytes]:
    """The lines that come, without line feeds, until the pipe ends; a piece of a line at the end is dropped.

    Raises:
        ProtocolError: a line is too long.
    """
    lines = Lines()
    while piece := os.read(incoming, _PIECE):
        yield from lines.feed(piece)


class Outbox:
    """Lines on their way to the client, written by a thread of its own; bounded, whatever the client reads.

    Args:
        outgoing: where they are written.
        broken: called once, from the writing thread, if nobody can read them any more.
    """

    def __init__(self, outgoing: int, broken: Callable[[], None]) -> None:
        self._outgoing = outgoing
        self._broken = broken
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._hasty = self._closed = False
        self._changed = threading.Condition()
        self._writer = threading.Thread(target=self._write, name="writer", daemon=True)
        self._writer.start()

    def send(self, line: bytes, wanted: Callable[[], bool] = lambda: True, room: int = ROOM) -> None:
        """Write a line, as soon as there is room for it and as long as it is wanted."""
        with self._changed:
            while self._bytes > room and not self._closed:
                if self._hasty or not wanted():
                    return
                self._changed.wait(_LOOK_S)
            self._put(line)

    def offer(self, line: bytes) -> None:
        """Write a line unless the client is behind."""
        with self._changed:
            if self._bytes <= _LITTLE:
                self._put(line)

    def hasten(self) -> None:
        """Have nobody wait for room any more: what finds none is dropped."""
        with self._changed:
            self._hasty = True
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Take no more lines, and wait for those that were taken to be written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join(patience_s)

    def _put(self, line: bytes) -> None:
        if not self._closed:
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    if self._closed:
                        return
                    self._changed.wait()
                left = memoryview(self._lines[0])
            try:
                while left:
                    left = left[os.write(self._outgoing, left) :]
            except OSError:
                self._give_up()
                return
            with self._changed:
                self._bytes -= len(self._lines.popleft())
                self._changed.notify_all()

    def _give_up(self) -> None:
        with self._changed:
            self._closed = True
            self._lines.clear()
            self._changed.notify_all()
        self._broken()
