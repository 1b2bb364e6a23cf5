"""A call of the worker that is waited for: in the thread of a Processing algorithm, or without any interface.

The call has a worker of its own, so that it neither waits for clicks nor keeps them waiting, and its memory is given
back at the end.
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

#: How often it is looked whether the user cancelled, in milliseconds.
LOOK_MS = 100
#: How long the end of the process is waited for, in milliseconds; it is killed long before.
ENDING_MS = 10_000
#: In the thread of the interface, nothing else may be begun while a script waits.
_WITHOUT_USER = QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents


def missing_worker() -> str:
    """That there is no worker, and how to get one; empty if there is one."""
    if find_worker() is not None:
        return ""
    return tr(
        "The program geosam, which does the work, was not found. Install it from the plugin's panel in QGIS, or with "
        "`uv tool install geosam-toolkit`, or name it in the environment variable GEOSAM_WORKER."
    )


def call_worker(method: str, params: dict[str, Any], feedback: QgsProcessingFeedback) -> Any:
    """Ask a worker, wait for the answer, and show progress on the way.

    Raises:
        QgsProcessingException: there is no worker, it refuses, it died, or the user cancelled.
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
    """One request to one worker, in a loop of the thread that it is made in."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._loop = QEventLoop()
        self._client = WorkerClient(None)
        self._client.notified.connect(self._noticed)
        self._request: int | None = None
        self._answered = False
        self._result: Any = None
        self._failure: WorkerFailure | None = None
        self._watch = QTimer()
        self._watch.setInterval(LOOK_MS)
        self._watch.timeout.connect(self._look)
        self._cancelled = False

    def result(self, method: str, params: dict[str, Any]) -> Any:
        """The answer; waits for it."""
        self._request = self._client.request(method, params, self._done, self._failed)
        self._watch.start()
        if not self._answered:
            self._loop.exec(_WITHOUT_USER)
        self._watch.stop()
        if self._failure is None:
            return self._result
        if self._failure.code == protocol.CANCELLED or self._cancelled:
            raise QgsProcessingException(tr("Cancelled."))
        raise QgsProcessingException(self._failure.message)

    def close(self) -> None:
        """End the worker's process, and wait until it is gone."""
        self._client.stopped.connect(self._loop.quit)
        self._client.stop()
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

    def _look(self) -> None:
        """Cancel when the user did: first politely."""
        if self._feedback.isCanceled() and not self._cancelled and self._request is not None:
            self._cancelled = True
            self._client.cancel(self._request)
            QTimer.singleShot(PATIENCE_MS, self._client.stop)
