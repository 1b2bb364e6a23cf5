"""The zip, the names that its source takes from this QGIS, its texts, and the installed plugin."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from dotted import unknown_names

import package
import translations

SOURCES = sorted(package.PLUGIN.rglob("*.py"))
every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(package.PLUGIN).as_posix())


@pytest.fixture
def plugin_zip(tmp_path):
    return package.build(tmp_path / "dist")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A copy of the plugin that a test may break."""
    copy = tmp_path / "broken" / "geosam_qgis"
    shutil.copytree(package.PLUGIN, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(package, "PLUGIN", copy)
    monkeypatch.setattr(package, "SHARED", {source: copy / old.name for source, old in package.SHARED.items()})
    return copy


def test_the_zip_has_the_same_bytes_every_time(plugin_zip, tmp_path):
    again = package.build(tmp_path / "again")
    assert again.name == plugin_zip.name
    assert again.read_bytes() == plugin_zip.read_bytes()


def test_the_zip_holds_the_plugin_and_nothing_else(plugin_zip):
    with zipfile.ZipFile(plugin_zip) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert {name.split("/")[0] for name in names} == {"geosam_qgis"}
    assert {"geosam_qgis/__init__.py", "geosam_qgis/metadata.txt", "geosam_qgis/LICENSE"} <= set(names)
    assert not [name for name in names if "test" in name or "__pycache__" in name or "/." in name]
    assert {stat.S_IMODE(entry.external_attr >> 16) for entry in entries} == {0o644}


def test_a_plugin_with_stale_copies_is_refused(broken):
    (broken / "draft.py").write_text("# another one\n")
    with pytest.raises(package.PackagingError, match=r"draft\.py differs .*make plugin-copies"):
        package.check()


def test_a_plugin_without_one_of_the_nine_keys_is_refused(broken):
    metadata = broken / "metadata.txt"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("tracker=", "trucker="), encoding="utf-8")
    with pytest.raises(package.PackagingError, match="tracker missing"):
        package.check()


def test_a_plugin_without_its_licence_is_refused(broken):
    (broken / "LICENSE").unlink()
    with pytest.raises(package.PackagingError, match="LICENSE is missing"):
        package.check()


def test_a_file_of_an_unknown_kind_is_refused(broken, tmp_path):
    (broken / "engine" / "model.bin").write_bytes(b"\0")
    with pytest.raises(package.PackagingError, match=r"model\.bin"):
        package.build(tmp_path)


def test_the_lists_of_texts_are_up_to_date():
    """If this fails: `make plugin-texts`."""
    for path in package.PLUGIN.glob("i18n/*.ts"):
        assert path.read_text(encoding="utf-8") == translations.up_to_date(path)


def test_every_text_has_a_german_translation():
    german = translations.translated(package.PLUGIN / "i18n" / "geosam_de.ts")
    assert [text for text in translations.texts() if text not in german] == []


def test_translations_keep_the_places_of_values():
    for path in package.PLUGIN.glob("i18n/*.ts"):
        for text, translation in translations.translated(path).items():
            assert sorted(places(text)) == sorted(places(translation)), translation


def places(text):
    return [piece.split("}")[0] for piece in text.split("{")[1:]]


def test_a_finished_translation_survives_and_a_removed_text_is_dropped(tmp_path):
    path = tmp_path / "geosam_fr.ts"
    path.write_text(translations.document("fr", {"a < b": "a < b !", "gone": "parti"}, ["a < b", "gone"]))
    done = translations.translated(path)
    assert done == {"a < b": "a < b !", "gone": "parti"}
    path.write_text(translations.document("fr", done, ["a < b", "new"]))
    assert translations.translated(path) == {"a < b": "a < b !"}


@pytest.mark.skipif(shutil.which("lrelease") is None, reason="lrelease is missing: no translations are compiled")
def test_a_compiled_translation_is_loaded_by_qt(broken, tmp_path):
    from qgis.PyQt.QtCore import QTranslator

    french = translations.document("fr", {"Cancelled.": "Annul\u00e9."}, ["Cancelled."])
    (broken / "i18n" / "geosam_fr.ts").write_text(french, encoding="utf-8")
    compiled = {path.name: path for path in package.compiled_translations(tmp_path)}
    translator = QTranslator()
    assert translator.load(str(compiled["geosam_fr.qm"]))
    assert translator.translate("geosam", "Cancelled.") == "Annul\u00e9."


@every_source
def test_every_name_of_qgis_exists_in_this_qgis(path):
    assert unknown_names(path.read_text(encoding="utf-8"), "qgis") == []


def test_without_an_interface_nothing_of_the_map_tool_is_loaded():
    """`qgis_process` makes the plugin, and asks it for its algorithms only."""
    code = """
import sys
from qgis.core import QgsApplication
application = QgsApplication([], False)
import geosam_qgis
geosam_qgis.classFactory(None)
import geosam_qgis.processing.provider
sys.exit(str([name for name in sys.modules if name.startswith("geosam_qgis.tool.")] or ""))
"""
    environment = {**os.environ, "PYTHONPATH": str(package.HERE)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.strip() == ""


@pytest.fixture
def installed(plugin_zip, tmp_path):
    """The environment of a user who has installed the zip, and of nothing else."""
    profile = tmp_path / "configuration"
    with zipfile.ZipFile(plugin_zip) as archive:
        archive.extractall(profile / "profiles" / "default" / "python" / "plugins")
    hidden = ("QGIS_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, "QGIS_CUSTOM_CONFIG_PATH": str(profile), "QT_QPA_PLATFORM": "offscreen"}


def qgis_process(environment, *arguments):
    program = shutil.which("qgis_process.bin") or "qgis_process"  # Debian's wrapper of 3.22 is broken
    command = [program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_the_zip_installed_as_a_user_would_segments_from_the_command_line(installed, scene_file, tmp_path):
    enabled = qgis_process(installed, "plugins", "enable", "geosam_qgis")
    assert enabled.returncode == 0, enabled.stderr
    scene, out = scene_file("utm"), tmp_path / "out put.gpkg"
    parameters = [f"INPUT={scene.path}", "MODEL=threshold", f"OUTPUT={out}"]
    done = qgis_process(installed, "--json", "run", "geosam:segment", "--", *parameters)
    assert done.returncode == 0, done.stderr + done.stdout
    results = json.loads(done.stdout)["results"]
    assert Path(results["OUTPUT"].split("|")[0]) == out
    assert out.stat().st_size > 0


@pytest.mark.fault("F24")
def test_without_a_worker_the_command_line_says_what_is_missing(installed, scene_file, tmp_path):
    environment = {**installed, "GEOSAM_WORKER": str(tmp_path / "no worker")}
    qgis_process(environment, "plugins", "enable", "geosam_qgis")
    parameters = [f"INPUT={scene_file('utm').path}", f"OUTPUT={tmp_path / 'out.gpkg'}"]
    done = qgis_process(environment, "run", "geosam:segment", "--", *parameters)
    assert done.returncode == 1
    assert "worker" in done.stdout + done.stderr
