"""The dialog for the installation of the plugin's own environment."""

from __future__ import annotations

import os

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QCoreApplication, QUrl, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from geosam_qgis.engine.installation import Installation, InstallPlan
from geosam_qgis.engine.locations import VARIABLE, environments
from geosam_qgis.settings import Settings
from geosam_qgis.texts import tr


class InstallDialog(QDialog):
    """A dialog that takes the source of an installation and shows its progress; open it with `show()`."""

    installed = pyqtSignal()
    """A new worker is ready; clients use it after their next start."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("geosam: install the worker"))
        self.resize(680, 520)
        self._installation: Installation | None = None
        settings = Settings()
        self.source_kind = QComboBox()
        kinds = [tr("Package index (PyPI)"), tr("Another index"), tr("Wheel file"), tr("Folder of wheels, offline")]
        self.source_kind.addItems(kinds)
        self.index = QLineEdit()
        self.index.setPlaceholderText("https://")
        self.wheel = QgsFileWidget()
        self.wheel.setFilter("*.whl")
        self.folder = QgsFileWidget()
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.python = QgsFileWidget()
        self.python.setFilePath(settings.python)
        self.python.setToolTip(tr("Path of uv, or of a Python interpreter. Leave it empty to search for one."))
        self.gpu = QCheckBox(tr("Use an NVIDIA GPU (a much larger download)"))
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.begin = QPushButton(tr("Install"))
        self.begin.clicked.connect(self._begin)
        self.end = QPushButton(tr("Close"))
        self._lay_out()
        self.source_kind.currentIndexChanged.connect(self._show_kind)
        self._remember(settings.packages)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow(tr("From"), self.source_kind)
        self._rows = {1: self.index, 2: self.wheel, 3: self.folder}
        for widget in self._rows.values():
            form.addRow("", widget)
        form.addRow(tr("Python or uv"), self.python)
        form.addRow("", self.gpu)
        buttons = QDialogButtonBox()
        buttons.addButton(self.begin, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(self.end, QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        where = tr("geosam and its libraries are installed in an environment of their own, in {}. ")
        intro = QLabel(where.format(environments()) + tr("QGIS itself is not changed."))
        intro.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(intro)
        layout.addLayout(form)
        layout.addWidget(self.log)
        layout.addWidget(buttons)

    def plan(self) -> InstallPlan:
        """Return the choices of the user."""
        paths = ("", self.index.text().strip(), self.wheel.filePath(), self.folder.filePath())
        source = paths[self.source_kind.currentIndex()]
        return InstallPlan(source, self.python.filePath().strip(), self.gpu.isChecked())

    def reject(self) -> None:
        """Cancel a running installation; else close the dialog."""
        if self._installation is not None:
            self._installation.cancel()
        else:
            super().reject()

    def _begin(self) -> None:
        plan = self.plan()
        if not plan.source and self.source_kind.currentIndex():
            self.log.appendPlainText(tr("Enter the source of the packages."))
            return
        source = QUrl(plan.source).toDisplayString() if "://" in plan.source else plan.source  # without password
        Settings().packages, Settings().python = source, plan.python
        self.begin.setEnabled(False)
        self.end.setText(tr("Cancel"))
        # no child of this dialog: it must remove its files even after the dialog is gone
        self._installation = Installation(plan, QCoreApplication.instance())
        self.destroyed.connect(self._installation.cancel)
        self._installation.progressed.connect(self.log.appendPlainText)
        self._installation.succeeded.connect(self._succeeded)
        self._installation.failed.connect(self._failed)
        self._installation.start()

    def _succeeded(self, _command: object) -> None:
        self._end(tr("Done."))
        Settings().worker = ""  # the user's latest choice is the new environment
        if os.environ.get(VARIABLE):
            self.log.appendPlainText(tr("The environment variable {} still points to another worker.").format(VARIABLE))
        self.installed.emit()

    def _failed(self, reason: str) -> None:
        self._end(reason)

    def _end(self, line: str) -> None:
        self.log.appendPlainText(line)
        self.begin.setEnabled(True)
        self.end.setText(tr("Close"))
        self._installation = None

    def _show_kind(self, kind: int) -> None:
        for number, widget in self._rows.items():
            widget.setVisible(number == kind)

    def _remember(self, source: str) -> None:
        """Show the source of the last installation."""
        kind = 0 if not source else 1 if "://" in source else 2 if source.endswith(".whl") else 3
        self.index.setText(source if kind == 1 else "")
        self.wheel.setFilePath(source if kind == 2 else "")
        self.folder.setFilePath(source if kind == 3 else "")
        self.source_kind.setCurrentIndex(kind)
        self._show_kind(kind)
