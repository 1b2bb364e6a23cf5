"""The worker's process: its threads, and its end."""

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

#: Time for running tasks to stop, and for answers to be read, when the worker ends (seconds).
GRACE_S: Final = 3.0
_LAST_WORDS_S: Final = 0.5
#: Time between two checks that the parent process still lives (seconds).
_CHECK_S: Final = 1.0


def serve(pipes: Pipes, memory_bytes: int) -> None:
    """Answer requests until the client ends the worker, or the client or the parent process is gone. Never returns.

    Args:
        pipes: pipes of the requests and the answers.
        memory_bytes: memory for embeddings.
    """
    faulthandler.enable(sys.stderr)
    parent = os.getppid()  # before anything slow: the parent may end meanwhile
    endings: queue.SimpleQueue[int] = queue.SimpleQueue()
    outbox = Outbox(pipes.outgoing, broken=lambda: endings.put(0))
    server = Server(outbox, lambda: endings.put(0), {"interactive": {"memory_bytes": memory_bytes}})
    _start("reader", lambda: _read(pipes.incoming, server, outbox), endings)
    _start("parent", lambda: _wait_for_end(parent), endings)
    try:
        code = endings.get()
    except KeyboardInterrupt:  # Ctrl-C or SIGTERM; the command line ends the process if this takes too long
        while not server.close(GRACE_S):
            time.sleep(_LAST_WORDS_S)
        raise
    server.close(GRACE_S)
    outbox.close(_LAST_WORDS_S)
    sys.stderr.flush()
    os._exit(code)  # ends threads that did not stop in time


def _start(name: str, work: Callable[[], int], endings: queue.SimpleQueue[int]) -> None:
    """Start a thread. When it ends, with an exit code or an error, the process ends."""

    def end() -> None:
        code = GeosamError.exit_code
        try:
            code = work()
        finally:
            endings.put(code)

    threading.Thread(target=end, name=name, daemon=True).start()


def _read(incoming: int, server: Server, outbox: Outbox) -> int:
    """Hand every line to the server. Return the exit code of the process when there are no more lines."""
    try:
        for line in read_lines(incoming):
            server.handle(line)
    except ProtocolError as error:
        outbox.send(failure(error.id, error.code, str(error)))
        return UsageError.exit_code
    except OSError:  # a broken pipe counts as ended
        return 0
    return 0


def _wait_for_end(parent: int) -> int:
    """Wait until the parent process has ended, and return the exit code for this one."""
    # The pipe does not show it: its other end may stay open in another process that the parent has started.
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    return 0
