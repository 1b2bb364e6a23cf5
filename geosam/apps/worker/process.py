"""The worker's process: its threads, and the ways in which it ends."""

from __future__ import annotations

import faulthandler
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from geosam.apps.worker.pipes import Outbox, Pipes, read_lines
from geosam.apps.worker.protocol import ProtocolError, failure
from geosam.apps.worker.server import Server
from geosam.errors import GeosamError, UsageError

#: How long what is being done may take to stop once the worker ends, and the answers to be read (seconds).
GRACE_S: Final = 3.0
_LAST_WORDS_S: Final = 0.5
#: How often the worker looks whether its parent is still there (seconds).
_LOOK_S: Final = 1.0


def serve(pipes: Pipes, memory_bytes: int) -> None:
    """Answer requests until the client, or whoever started the process, is gone or asks for the end; never returns.

    Args:
        pipes: where requests come from and answers go to.
        memory_bytes: what embeddings may take.
    """
    faulthandler.enable(sys.stderr)
    parent = os.getppid()  # as long as nobody has heard of this process
    endings: queue.SimpleQueue[int] = queue.SimpleQueue()
    outbox = Outbox(pipes.outgoing, broken=lambda: endings.put(0))
    server = Server(outbox, lambda: endings.put(0), {"interactive": {"memory_bytes": memory_bytes}})
    _start("reader", lambda: _read(pipes.incoming, server, outbox), endings)
    _start("parent", lambda: _outlive(parent), endings)
    try:
        code = endings.get()
    except KeyboardInterrupt:  # Ctrl-C or SIGTERM; the command line sees to it that this ends in time
        while not server.close(GRACE_S):
            time.sleep(_LAST_WORDS_S)
        raise
    server.close(GRACE_S)
    outbox.close(_LAST_WORDS_S)
    sys.stderr.flush()
    os._exit(code)  # threads that did not stop in time end here


def _start(name: str, work: Callable[[], int], endings: queue.SimpleQueue[int]) -> None:
    """Start a thread whose end, with a code or an error, is the end of the process."""

    def end() -> None:
        code = GeosamError.exit_code
        try:
            code = work()
        finally:
            endings.put(code)

    threading.Thread(target=end, name=name, daemon=True).start()


def _read(incoming: int, server: Server, outbox: Outbox) -> int:
    """Hand every line to the server; returns how the process ends when there are no more."""
    try:
        for line in read_lines(incoming):
            server.handle(line)
    except ProtocolError as error:
        outbox.send(failure(error.id, error.code, str(error)))
        return UsageError.exit_code
    except OSError:  # a pipe that breaks has ended
        return 0
    return 0


def _outlive(parent: int) -> int:
    """Wait for the end of the parent: its pipe may be open in another process that it had started."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    return 0
