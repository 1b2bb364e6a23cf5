"""SIGINT and SIGTERM end a call within two seconds, whatever it is doing."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from geosam.errors import Interrupted, Terminated

#: Time for the call to clean up before the process is ended (seconds).
GRACE_S: Final = 1.5
#: Time for the last message, which may find no reader (seconds).
_LAST_WORDS_S: Final = 0.2

_ERRORS: Final = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class Signals:
    """Turns the first signal into an exception in the main thread, and ends the process in time.

    The exception is a KeyboardInterrupt for both signals: code that turns any `Exception` of a library into a damaged
    tile or a refused file lets this one pass. :attr:`received` says which signal came.

    A handler written in Python runs only when the main thread comes back from C code, which may be reading a large
    block. So a second thread receives the signal through a socket and ends the process when the grace time is over.
    It ends worker processes at once, so that no thread waits for them.
    """

    def __init__(self) -> None:
        self.received: Interrupted | None = None
        """The error of the first signal; None before it."""
        self._settled = False

    def install(self, last_words: Callable[[Interrupted], None]) -> None:
        """Handle signals from now on.

        Args:
            last_words: function that reports the error if the main thread cannot do so in time.
        """
        receiver, wakeup = socket.socketpair()
        wakeup.setblocking(False)  # a handler in C writes to it and must not wait
        signal.set_wakeup_fd(wakeup.detach(), warn_on_full_buffer=False)
        for number in _ERRORS:
            signal.signal(number, self._raise)
        threading.Thread(target=self._enforce, args=(receiver, last_words), name="signals", daemon=True).start()

    def settle(self) -> None:
        """Ignore signals from now on: the outcome is reported."""
        self._settled = True
        for number in _ERRORS:
            signal.signal(number, signal.SIG_IGN)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:  # a second Ctrl-C must not interrupt the clean-up
            self.received = _ERRORS[signal.Signals(number)]()
            raise KeyboardInterrupt

    def _enforce(self, receiver: socket.socket, last_words: Callable[[Interrupted], None]) -> None:
        """Wait for a signal, and end the process after the grace time. The second thread runs this."""
        number = receiver.recv(1)[0]
        while number not in _ERRORS:
            number = receiver.recv(1)[0]
        _end_workers()  # now: the main thread may be waiting for one of them
        time.sleep(GRACE_S)
        error = _ERRORS[signal.Signals(number)]()
        if not self._settled:
            # In a thread of its own, because writing may wait for a reader that never comes.
            reporter = threading.Thread(target=last_words, args=(error,), daemon=True)
            reporter.start()
            reporter.join(_LAST_WORDS_S)
        os._exit(error.exit_code)


def _end_workers() -> None:
    """End the processes that `multiprocessing` started, if it was ever used."""
    multiprocessing = sys.modules.get("multiprocessing")  # not imported: there are no workers then
    for worker in multiprocessing.active_children() if multiprocessing else ():
        worker.kill()
