"""Shared fixtures of the plugin's tests: a real QGIS, a worker, pictures with known objects, and waiting.

The tests run under the Python that QGIS brings along. Pictures are made by the library's own interpreter, and the
worker is started as a user's would be: `GEOSAM_WORKER` names its program.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

if importlib.util.find_spec("qgis") is None:
    collect_ignore_glob = ["test_*.py"]  # the library's interpreter has no QGIS


def pytest_report_header():
    return [] if importlib.util.find_spec("qgis") else ["skipped: tests of the plugin, since there is no QGIS here"]


@pytest.fixture
def wait(qgis_app):
    """`wait(predicate, seconds=60)`: let QGIS work until the predicate holds, and return its value."""

    def patience(predicate, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not (met := predicate()):
            assert time.monotonic() < deadline, f"waited {seconds:g} s without success for {predicate}"
            qgis_app.processEvents()
            time.sleep(0.002)
        return met

    return patience


@pytest.fixture(autouse=True)
def _no_silent_exception(monkeypatch):
    """Fail the test after an exception in a slot, which Qt ignores."""
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error.with_traceback(trace)))
    yield
    if raised:
        raise raised[0]


@pytest.fixture(scope="session", autouse=True)
def _own_profile(qgis_app, tmp_path_factory):
    """Use a new profile, so that runs do not share settings."""
    from qgis.core import QgsApplication
    from qgis.PyQt.QtCore import QSettings

    folder = str(tmp_path_factory.mktemp("profile"))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QgsApplication, "qgisSettingsDirPath", staticmethod(lambda: f"{folder}/"))
        yield


@pytest.fixture(autouse=True)
def _own_settings(_own_profile):
    """Start every test without settings of the plugin."""
    from qgis.core import QgsSettings

    QgsSettings().remove("geosam")


# A worker


@pytest.fixture
def fake(wait):
    """`fake(*modes)`: a client of the worker that misbehaves."""
    from geosam_qgis.engine.client import WorkerClient
    from geosam_qgis.engine.locations import WorkerCommand

    made = []

    def make(*modes):
        program = str(HERE / "fake_worker.py")
        made.append(WorkerClient(WorkerCommand(sys.executable, (program, *modes, "worker"), "test")))
        return made[-1]

    yield make
    for client in made:
        client.stop()
    wait(lambda: not any(client.is_ending for client in made))


@pytest.fixture
def worker_command():
    """The real worker, as `GEOSAM_WORKER` names it."""
    from geosam_qgis.engine.locations import WorkerCommand, command_of

    named = os.environ.get("GEOSAM_WORKER", "")
    found = command_of(named, "GEOSAM_WORKER") if named else None
    assert isinstance(found, WorkerCommand), f"GEOSAM_WORKER: found {named!r}, expected the path of a geosam program"
    return found


@pytest.fixture
def client(wait, worker_command):
    """A client of the real worker, whose process is gone when the test ends."""
    from geosam_qgis.engine.client import WorkerClient

    client = WorkerClient(worker_command)
    yield client
    client.stop()
    wait(lambda: not client.is_ending)


@pytest.fixture
def answers():
    """Callbacks that keep their results and failures."""
    from answers import Answers

    return Answers()


def library_python():
    """The interpreter that has the library: `GEOSAM_PYTHON`, or the one beside the worker."""
    named = os.environ.get("GEOSAM_PYTHON", "")
    beside = Path(os.environ.get("GEOSAM_WORKER", "")).with_name("python")
    python = Path(named) if named else beside
    assert python.is_file(), (
        f"no file {python}: expected the library's interpreter in GEOSAM_PYTHON or beside GEOSAM_WORKER"
    )
    return str(python)


# Pictures


@dataclass(frozen=True)
class SceneFile:
    """A picture of flat colours; the `threshold` model finds its objects exactly."""

    path: str
    """Path in a folder with a space and an accent."""
    authid: str
    """Its CRS."""
    width: int
    height: int
    transform: tuple
    """(a, b, c, d, e, f) from pixel corners to the map."""
    objects: dict
    """Pixel rings by name: `roof` a rectangle, `pond` an L, `field` a rectangle, `road` from end to end."""
    spots: dict
    """A pixel inside each object, and one on the `ground` between them."""

    def at(self, column, row):
        """The map position of a pixel position."""
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f

    def spot(self, name):
        """A map position inside an object."""
        return self.at(*self.spots[name])

    def outline(self, name):
        """The vertices of an object in map coordinates, not closed."""
        return [self.at(*vertex) for vertex in self.objects[name]]


#: CRS, width, height, transform. `utm` is turned by 20 degrees; `long` is wider than three windows of 1024 pixels.
SCENES = {
    "utm": ("EPSG:32633", 600, 400, (0.4698, 0.1710, 500100.0, 0.1710, -0.4698, 5399900.0)),
    "mercator": ("EPSG:3857", 600, 400, (0.75, 0.0, 1670000.0, 0.0, -0.75, 6210000.0)),
    "degrees": ("EPSG:4326", 600, 400, (6e-6, 0.0, 15.0, 0.0, -4.5e-6, 48.75)),
    "long": ("EPSG:32633", 4000, 600, (0.5, 0.0, 500000.0, 0.0, -0.5, 5400000.0)),
}

PAINT = """
import json, sys
import numpy as np, rasterio
from rasterio.features import rasterize
what = json.load(sys.stdin)
shape = what["height"], what["width"]
picture = np.full((3, *shape), 90, "uint8")
for number, ring in enumerate(what["rings"]):
    inside = rasterize([{"type": "Polygon", "coordinates": [[*ring, ring[0]]]}], shape).astype(bool)
    picture[:, inside] = np.array(what["colours"][number], "uint8")[:, None]
with rasterio.open(what["path"], "w", driver="GTiff", width=shape[1], height=shape[0], count=3, dtype="uint8",
                   crs=what["crs"], transform=rasterio.Affine(*what["transform"]), photometric="rgb") as file:
    file.write(picture)
"""


@pytest.fixture(scope="session")
def scene_file(tmp_path_factory):
    """`scene_file(name="utm")`: the SceneFile of one of SCENES, made once a session."""
    made = {}

    def make(name="utm"):
        if name not in made:
            made[name] = paint(tmp_path_factory.mktemp("B\u00e2timents et champs") / f"sc\u00e8ne {name}.tif", name)
        return made[name]

    return make


def paint(path, name):
    authid, width, height, transform = SCENES[name]
    objects = {
        "roof": [(100, 80), (180, 80), (180, 140), (100, 140)],
        "pond": [(300, 60), (420, 60), (420, 90), (340, 90), (340, 160), (300, 160)],
        "field": [(60, 250), (240, 250), (240, 370), (60, 370)],
        "road": [(0, 195), (width, 195), (width, 220), (0, 220)],
    }
    spots = {"roof": (140, 110), "pond": (320, 120), "field": (150, 310), "road": (290, 207), "ground": (500, 300)}
    colours = [(220, 60, 50), (40, 90, 210), (70, 170, 60), (200, 200, 190)]
    what = {"path": str(path), "crs": authid, "width": width, "height": height, "transform": transform}
    what.update(rings=list(objects.values()), colours=colours)
    subprocess.run([library_python(), "-c", PAINT], input=json.dumps(what).encode(), check=True, timeout=120)
    return SceneFile(str(path), authid, width, height, transform, objects, spots)


# A map


@pytest.fixture
def map_canvas(qgis_app, qgis_canvas, qgis_parent):
    """The map canvas in a window that is shown, 600 x 600 pixels, so that clicks hit their places."""
    window = qgis_canvas.window()
    window.show()
    qgis_app.processEvents()
    window.resize(600, 600)
    qgis_canvas.resize(600, 600)
    qgis_app.processEvents()
    return qgis_canvas


# The toolbox


@pytest.fixture
def provider(qgis_app, qgis_processing):
    """The plugin's provider, registered for one test."""
    from qgis.core import QgsApplication

    from geosam_qgis.processing.provider import GeosamProvider

    registry = QgsApplication.processingRegistry()
    if registry.providerById("geosam") is not None:
        registry.removeProvider("geosam")
    provider = GeosamProvider()
    assert registry.addProvider(provider)
    yield provider
    registry.removeProvider("geosam")


@pytest.fixture
def run(provider, worker_command, qgis_new_project):
    """`run(algorithm, **parameters)`: the results; `run.log` has the messages."""
    import processing
    from qgis.core import QgsProcessingFeedback

    def go(algorithm, **parameters):
        feedback = QgsProcessingFeedback(False)
        try:
            return processing.run(f"geosam:{algorithm}", parameters, feedback=feedback)
        finally:
            go.log = feedback.textLog()

    return go
