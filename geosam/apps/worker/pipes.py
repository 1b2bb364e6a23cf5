"""The worker's two pipes: claimed before any library can write to them, read line by line, written by a thread."""

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
#: Bytes in the outbox above which answers and notifications wait.
ROOM = 4 << 20
#: Additional bytes that only errors may use. So requests are read and cancelled even if the client reads no answers.
RESERVE = 4 << 20
#: Bytes in the outbox above which a notification that may be lost is dropped.
_LITTLE = 1 << 16
#: Time between two checks if a waiting line is still needed (seconds).
_CHECK_S = 0.1


class Pipes(NamedTuple):
    """The client's pipes, as file descriptors that no library knows."""

    incoming: int
    """File descriptor of the requests."""
    outgoing: int
    """File descriptor of the answers."""


def claim_pipes() -> Pipes:
    """Take standard input and output for the protocol. Everything that is printed later goes to standard error."""
    sys.stdout.flush()
    # Libraries written in C print to descriptor 1 itself. So the client's descriptors get private numbers.
    pipes = Pipes(os.dup(0), os.dup(1))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return pipes


def read_lines(incoming: int) -> Iterator[bytes]:
    """Yield lines without line feeds until the pipe ends. An incomplete line at the end is dropped.

    Raises:
        ProtocolError: a line is too long.
    """
    lines = Lines()
    while piece := os.read(incoming, _PIECE):
        yield from lines.feed(piece)


class Outbox:
    """Queue of bounded size for lines to the client, which a thread of its own writes.

    Args:
        outgoing: file descriptor to write to.
        broken: called once, by the writing thread, if the client has closed the pipe.
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

    def send(self, line: bytes, needed: Callable[[], bool] = lambda: True, room: int = ROOM) -> None:
        """Write a line as soon as there is room for it.

        Args:
            line: the line, with its line feed.
            needed: returns False if the line can be dropped while it waits.
            room: largest number of bytes in the outbox at which the line is accepted.
        """
        with self._changed:
            while self._bytes > room and not self._closed:
                if self._hasty or not needed():
                    return
                self._changed.wait(_CHECK_S)
            self._put(line)

    def offer(self, line: bytes) -> None:
        """Write a line, or drop it if the client reads too slowly."""
        with self._changed:
            if self._bytes <= _LITTLE:
                self._put(line)

    def hasten(self) -> None:
        """Drop lines for which there is no room from now on, also those that wait for room already."""
        with self._changed:
            self._hasty = True
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Accept no more lines, and wait up to `patience_s` seconds until the waiting lines are written."""
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
                unwritten = memoryview(self._lines[0])
            try:
                while unwritten:
                    unwritten = unwritten[os.write(self._outgoing, unwritten) :]
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
