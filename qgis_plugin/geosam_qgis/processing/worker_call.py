"""A call of the worker that waits for its answer: in the thread of an algorithm, or without any interface.

Every call has a worker of its own, so that runs and clicks do not wait for each other, and all its memory is free again
at the end.
"""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QEventLoop, QTimer

from geosam_qgis import protocol
from geosam_qgis.engine.client import WorkerClient, WorkerFailure
from geosam_qgis.engine.locations import find_worker
from geosam_qgis.jobs.run_request import PATIENCE_MS
from geosam_qgis.texts import tr

#: Pause between two checks for a cancellation by the user, in milliseconds.
CHECK_MS = 100
#: Time to wait for the end of the process, in milliseconds; it is killed long before.
ENDING_MS = 10_000
#: In the thread of the interface, the user must not start anything else while a script waits.
_WITHOUT_USER = QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents


def missing_worker() -> str:
    """Return sentences that tell how to get a worker; empty if there is one."""
    if find_worker() is not None:
        return ""
    return tr(
        "The worker, the program geosam, was not found. Press Diagnose in the panel of the plugin to install it. "
        "Without a panel, run “uv tool install geosam-toolkit”, or set the environment variable GEOSAM_WORKER."
    )


def call_worker(method: str, params: dict[str, Any], feedback: QgsProcessingFeedback) -> Any:
    """Send one request to a worker, show its progress, and return the answer.

    Raises:
        QgsProcessingException: there is no worker, it reported an error, it died, or the user cancelled.
    """
    missing = missing_worker()
    if missing:
        raise QgsProcessingException(missing)
    call = _Call(feedback)
    try:
        return call.result(method, params)
    finally:
        call.close()


class _Call:
    """One request to one worker, with an event loop in the thread of the call."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._loop = QEventLoop()
        self._client = WorkerClient(None)
        self._client.notified.connect(self._noticed)
        self._request: int | None = None
        self._answered = False
        self._result: Any = None
        self._failure: WorkerFailure | None = None
        self._timer = QTimer()
        self._timer.setInterval(CHECK_MS)
        self._timer.timeout.connect(self._check_cancelled)
        self._cancelled = False

    def result(self, method: str, params: dict[str, Any]) -> Any:
        """Wait for the answer, and return it."""
        self._request = self._client.request(method, params, self._done, self._failed)
        self._timer.start()
        if not self._answered:  # a failure may come before the loop runs
            self._loop.exec(_WITHOUT_USER)
        self._timer.stop()
        if self._failure is None:
            return self._result
        if self._failure.code == protocol.CANCELLED or self._cancelled:
            raise QgsProcessingException(tr("Cancelled."))
        raise QgsProcessingException(self._failure.message)

    def close(self) -> None:
        """Stop the worker, and wait until its process has ended."""
        self._client.stopped.connect(self._loop.quit)
        self._client.stop()  # its memory, also on the GPU, is free only after the end of the process
        QTimer.singleShot(ENDING_MS, self._loop.quit)
        if self._client.is_ending:
            self._loop.exec(_WITHOUT_USER)

    def _done(self, result: Any) -> None:
        self._answered, self._result = True, result
        self._loop.quit()

    def _failed(self, failure: WorkerFailure) -> None:
        self._answered, self._failure = True, failure
        self._loop.quit()

    def _noticed(self, method: str, params: dict[str, Any]) -> None:
        if method == "progress" and params["total"]:
            self._feedback.setProgress(100 * params["done"] / params["total"])

    def _check_cancelled(self) -> None:
        """Cancel the request after the user has cancelled; stop a worker that does not react."""
        if self._feedback.isCanceled() and not self._cancelled and self._request is not None:
            self._cancelled = True
            self._client.cancel(self._request)
            QTimer.singleShot(PATIENCE_MS, self._client.stop)
