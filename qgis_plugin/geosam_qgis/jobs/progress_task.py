"""A run in QGIS' list of tasks."""

from __future__ import annotations

import threading

from qgis.core import QgsTask
from qgis.PyQt.QtCore import QThreadPool, pyqtSignal


class ProgressTask(QgsTask):
    """Shows how far something is that goes on elsewhere, and passes on that the user cancelled.

    Its thread only waits. It is over as soon as it is cancelled, or :meth:`end` is called, so QGIS never waits for it.
    """

    cancelled = pyqtSignal()
    """By the user, or by QGIS as it ends."""

    def __init__(self, description: str) -> None:
        super().__init__(description, QgsTask.Flag.CanCancel)
        self._over = threading.Event()
        self._fine = False

    def run(self) -> bool:
        """Wait, and let another thread work meanwhile: QGIS draws maps with the threads of this pool."""
        pool = QThreadPool.globalInstance()
        pool.releaseThread()
        self._over.wait()
        pool.reserveThread()
        return self._fine

    def cancel(self) -> None:
        """Called by QGIS."""
        super().cancel()
        self._over.set()
        self.cancelled.emit()

    def end(self, *, fine: bool) -> None:
        """What was mirrored is over."""
        self._fine = fine
        self._over.set()
