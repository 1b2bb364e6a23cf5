"""The diagnosis with a worker, without one, and with one that dies."""

import sys

import pytest
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QEvent
from qgis.PyQt.QtGui import QGuiApplication

from geosam_qgis.engine import locations
from geosam_qgis.engine.client import WorkerClient
from geosam_qgis.engine.diagnosis import diagnose, without_password
from geosam_qgis.engine.diagnosis_dialog import DiagnosisDialog
from geosam_qgis.engine.install_dialog import InstallDialog
from geosam_qgis.engine.installation import InstallPlan
from geosam_qgis.settings import Settings


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No worker anywhere."""
    monkeypatch.delenv("GEOSAM_WORKER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(locations, "tool_folders", lambda: [tmp_path / "tools"])


def test_without_a_worker_the_report_has_every_place(nowhere, tmp_path, wait):
    dialog = DiagnosisDialog(WorkerClient())
    report = dialog.report.toPlainText()
    assert "Press Install or Choose worker." in dialog.findings.text()
    assert "- setting: none" in report
    assert "- environment variable GEOSAM_WORKER: none" in report
    assert f"- folder of uv or pipx: {tmp_path}/tools/geosam" in report
    assert f"- PATH: {tmp_path}/geosam" in report
    wait(lambda: "No geosam worker was found" in dialog.findings.text())


def test_with_a_worker_the_report_has_versions_models_and_space(client, wait):
    dialog = DiagnosisDialog(client)
    wait(lambda: "The worker runs: geosam" in dialog.findings.text())
    report = dialog.report.toPlainText()
    assert "torch: " in report or "'torch': " in report
    assert "QGIS 3." in report
    assert "protocol 1" in report
    assert "threshold" in dialog.findings.text()
    assert "GB are free" in report
    dialog.copy.click()
    assert QGuiApplication.clipboard().text() == report


def test_the_report_of_a_dead_worker_has_its_output(fake, wait, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_LAST_WORDS", "Traceback\nModuleNotFoundError: No module named 'torch'")
    dialog = DiagnosisDialog(fake("dies"))
    wait(lambda: "No module named 'torch'" in dialog.findings.text())
    assert "s ago: An import failed" in dialog.report.toPlainText()
    for _ in range(3):
        dialog.try_again()
        wait(lambda: "An import failed" in dialog.findings.text() and "3 times" not in dialog.findings.text())


def test_the_report_names_the_dropped_variables(fake, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PROJ_LIB", "/opt/qgis/proj")
    monkeypatch.setenv("PYTHONHOME", "/opt/qgis")
    assert "does not get\n  PYTHONHOME\n  PROJ_LIB\n" in diagnose(fake(), None).report


def test_a_worker_that_is_chosen_is_used_and_remembered(client, worker_command, wait, tmp_path):
    dialog = DiagnosisDialog(client)
    dialog.use(str(tmp_path / "nothing"))
    assert "is not a geosam program" in dialog.findings.text()
    assert Settings().worker == ""
    dialog.use(worker_command.program)
    assert Settings().worker == worker_command.program
    wait(lambda: "The worker runs" in dialog.findings.text())


def test_the_report_shows_no_passwords():
    assert without_password("http://ann:secret@proxy.example.org:3128") == "http://***@proxy.example.org:3128"


def test_the_installation_dialog_shows_what_happens_and_can_be_tried_again(wait, tmp_path):
    dialog = InstallDialog()
    assert dialog.plan() == InstallPlan()
    dialog.source_kind.setCurrentIndex(3)
    dialog.begin.click()
    assert "Enter the source of the packages." in dialog.log.toPlainText()
    dialog.folder.setFilePath(str(tmp_path))
    dialog.python.setFilePath(str(tmp_path / "no python"))
    dialog.begin.click()
    assert not dialog.begin.isEnabled()
    wait(dialog.begin.isEnabled)
    assert "No uv and no Python" in dialog.log.toPlainText()
    assert InstallDialog().plan() == InstallPlan(str(tmp_path), str(tmp_path / "no python"))


def test_an_installation_whose_window_is_closed_removes_its_files(wait, tmp_path, monkeypatch, qgis_app):
    monkeypatch.setattr(QgsApplication, "qgisSettingsDirPath", staticmethod(lambda: f"{tmp_path}/profile/"))
    (tmp_path / "wheels").mkdir()
    dialog = InstallDialog()
    dialog.source_kind.setCurrentIndex(3)
    dialog.folder.setFilePath(str(tmp_path / "wheels"))
    dialog.python.setFilePath(sys.executable)
    dialog.begin.click()
    wait((tmp_path / "profile" / "geosam" / "env-1").exists)
    told = []
    dialog._installation.failed.connect(told.append)
    dialog.deleteLater()
    del dialog
    wait(lambda: qgis_app.sendPostedEvents(None, QEvent.Type.DeferredDelete) or told)
    assert told == ["Cancelled."]
    assert not (tmp_path / "profile" / "geosam" / "env-1").exists()
