"""A run in the list of tasks of QGIS."""

from __future__ import annotations

import threading

from qgis.core import QgsTask
from qgis.PyQt.QtCore import QThreadPool, pyqtSignal


class ProgressTask(QgsTask):
    """A task that shows the progress of work elsewhere, and reports that the user cancelled it.

    Its thread only waits. It ends as soon as it is cancelled, or :meth:`end` is called, so QGIS never waits for it.
    """

    cancelled = pyqtSignal()
    """Cancelled by the user, or by QGIS at its end."""

    def __init__(self, description: str) -> None:
        super().__init__(description, QgsTask.Flag.CanCancel)
        self._ended = threading.Event()
        self._succeeded = False

    def run(self) -> bool:
        """Wait for the end, and release the thread meanwhile: QGIS draws maps with the threads of this pool."""
        pool = QThreadPool.globalInstance()
        pool.releaseThread()
        self._ended.wait()
        pool.reserveThread()
        return self._succeeded

    def cancel(self) -> None:
        """End the task; QGIS calls this."""
        super().cancel()
        self._ended.set()
        self.cancelled.emit()

    def end(self, *, succeeded: bool) -> None:
        """End the task, as a success or not."""
        self._succeeded = succeeded
        self._ended.set()
