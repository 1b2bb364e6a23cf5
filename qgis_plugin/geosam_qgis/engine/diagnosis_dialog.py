"""The dialog *Diagnose*: the state of the worker, with buttons to choose or to install another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QGuiApplication
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from geosam_qgis.engine.diagnosis import diagnose
from geosam_qgis.engine.install_dialog import InstallDialog
from geosam_qgis.engine.locations import command_of
from geosam_qgis.settings import Settings
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.engine.client import WorkerClient, WorkerFailure


class DiagnosisDialog(QDialog):
    """A dialog that requests the status of the worker and shows all findings; open it with `show()`."""

    def __init__(self, client: WorkerClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("geosam: diagnose"))
        self.resize(760, 560)
        self._client = client
        self._installing: InstallDialog | None = None
        self.findings = QLabel()
        self.findings.setTextFormat(Qt.TextFormat.PlainText)
        self.findings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.findings.setWordWrap(True)
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        self.copy = QPushButton(tr("Copy report"))
        self.copy.clicked.connect(self._copy)
        self.choose = QPushButton(tr("Choose worker…"))
        self.choose.clicked.connect(self._choose)
        self.install = QPushButton(tr("Install…"))
        self.install.clicked.connect(self._install)
        self.again = QPushButton(tr("Try again"))
        self.again.clicked.connect(self.try_again)
        row = QHBoxLayout()
        for button in (self.choose, self.install, self.again, self.copy):
            row.addWidget(button)
        closing = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        closing.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (self.findings, self.report):
            layout.addWidget(widget)
        layout.addLayout(row)
        layout.addWidget(closing)
        self._client.stopped.connect(self._ended)
        self._request_status()

    def use(self, path: str) -> None:
        """Use the worker at a path from now on; empty to search for one."""
        if path and command_of(path, "") is None:
            self.findings.setText(
                tr("{} is not a geosam program, a Python interpreter or an environment.").format(path)
            )
            return
        Settings().worker = path
        self.try_again()

    def try_again(self) -> None:
        """Start the worker again, even after many deaths."""
        self._client.stop()
        self._client.reset()
        self._request_status()

    def _request_status(self) -> None:
        self._show(None)
        self._client.request("status", {}, self._show, self._failed)

    def _failed(self, failure: WorkerFailure) -> None:
        self._show(None)
        self.findings.setText(f"{self.findings.text()}\n✗ {failure.message}")

    def _ended(self, _reason: str) -> None:
        # after *Try again* the old worker may end when the new one runs already
        if not self._client.is_running:
            self._show(None)

    def _show(self, status: dict[str, Any] | None) -> None:
        diagnosis = diagnose(self._client, status)
        self.findings.setText("\n".join(f"{'✓' if is_well else '✗'} {text}" for is_well, text in diagnosis.findings))
        self.report.setPlainText(diagnosis.report)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.report.toPlainText())

    def _choose(self) -> None:
        title = tr("A geosam program, or the Python interpreter of its environment")
        path, _filter = QFileDialog.getOpenFileName(self, title, Settings().worker)
        if path:
            self.use(path)

    def _install(self) -> None:
        if self._installing is None:
            self._installing = InstallDialog(self)
            self._installing.installed.connect(self.try_again)
        self._installing.show()
        self._installing.raise_()
