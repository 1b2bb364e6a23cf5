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

#: How long the call may take to clean up after itself before it is ended without asking (seconds).
GRACE_S: Final = 1.5
#: How long saying so may take: nobody may be reading (seconds).
_LAST_WORDS_S: Final = 0.2

_ERRORS: Final = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class Signals:
    """Turns the first of the two signals into an exception in the main thread, and sees to it that the process ends.

    The exception is a KeyboardInterrupt for both: code on its way that turns any `Exception` of a library into a
    damaged tile or a refused file must not do so with this one. :attr:`received` says what it means.

    A handler written in Python runs only when the main thread comes back from C code, which may be reading a
    large block. So a second thread hears of the signal through a socket and ends the process when the grace
    time is over. It ends the worker processes at once: whoever waits for them has nothing to wait for any more.
    """

    def __init__(self) -> None:
        self.received: Interrupted | None = None
        """What the signal means, once there was one."""
        self._settled = False

    def install(self, last_words: Callable[[Interrupted], None]) -> None:
        """Listen from now on; `last_words` says how the call ended if the main thread does not get to it."""
        heard, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.detach(), warn_on_full_buffer=False)
        for number in _ERRORS:
            signal.signal(number, self._raise)
        threading.Thread(target=self._enforce, args=(heard, last_words), name="signals", daemon=True).start()

    def settle(self) -> None:
        """The outcome has been reported: a signal from now on changes nothing."""
        self._settled = True
        for number in _ERRORS:
            signal.signal(number, signal.SIG_IGN)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = _ERRORS[signal.Signals(number)]()
            raise KeyboardInterrupt

    def _enforce(self, heard: socket.socket, last_words: Callable[[Interrupted], None]) -> None:
        number = heard.recv(1)[0]
        while number not in _ERRORS:
            number = heard.recv(1)[0]
        _end_workers()
        time.sleep(GRACE_S)
        error = _ERRORS[signal.Signals(number)]()
        if not self._settled:
            words = threading.Thread(target=last_words, args=(error,), daemon=True)
            words.start()
            words.join(_LAST_WORDS_S)
        os._exit(error.exit_code)


def _end_workers() -> None:
    """End the processes that `multiprocessing` started, if it was ever used."""
    multiprocessing = sys.modules.get("multiprocessing")
    for worker in multiprocessing.active_children() if multiprocessing else ():
        worker.kill()
