"""The client with the real worker, under the real PyQt6."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from qgis.PyQt.QtCore import QCoreApplication

from geosam_qgis.engine.client import GONE, WorkerClient
from geosam_qgis.engine.locations import WorkerCommand

WORKER = os.environ["GEOSAM_WORKER"]

#: A square of 20 m in the middle of a grey picture.
PAINT = """
import sys, numpy, rasterio
picture = numpy.full((3, 200, 300), 90, "uint8")
picture[:, 80:120, 130:170] = 200
with rasterio.open(sys.argv[1], "w", driver="GTiff", width=300, height=200, count=3, dtype="uint8", crs="EPSG:32633",
                   transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5400000), photometric="rgb") as file:
    file.write(picture)
"""


@pytest.fixture(scope="module")
def application():
    return QCoreApplication.instance() or QCoreApplication([])


@pytest.fixture
def wait(application):
    def patience(predicate, seconds=60):
        deadline = time.monotonic() + seconds
        while not predicate():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain"
            application.processEvents()
            time.sleep(0.002)

    return patience


@pytest.fixture
def client(wait):
    client = WorkerClient(WorkerCommand(WORKER, ("worker",), "test"))
    yield client
    client.stop()
    wait(lambda: not client.is_ending)


@pytest.fixture
def ask(wait):
    """`ask(client, method, params)`: the result, or the failure."""

    def answer(client, method, params):
        answers = []
        client.request(method, params, answers.append, answers.append)
        wait(lambda: answers)
        assert len(answers) == 1
        return answers[0]

    return answer


def test_the_worker_starts_and_answers(client, ask):
    greetings = []
    client.started.connect(greetings.append)
    assert ask(client, "status", {})["pid"] == greetings[0]["pid"]


def test_a_click_gives_the_object(client, ask, tmp_path):
    scene = tmp_path / "sc\u00e8ne 1.tif"
    python = Path(WORKER).with_name("python")
    subprocess.run([python, "-c", PAINT, scene], check=True, timeout=120)
    opened = ask(client, "open", {"path": str(scene), "options": {}})
    draft = {
        "crs": "EPSG:32633",
        "granularity": "auto",
        "steps": [{"kind": "point", "label": 1, "rings": [[[500075.0, 5399950.0]]]}],
    }
    answer = ask(client, "segment", {"scene": opened["scene"], "model": {"name": "threshold"}, "draft": draft})
    assert answer["complete"]
    assert answer["object"]["area_m2"] == pytest.approx(400, rel=0.01)


@pytest.mark.fault("F08")
def test_the_client_survives_the_worker_and_starts_another(client, ask, wait):
    first = ask(client, "status", {})["pid"]
    reasons = []
    client.stopped.connect(reasons.append)
    os.kill(first, signal.SIGKILL)
    wait(lambda: reasons)
    assert reasons[0]
    assert ask(client, "status", {})["pid"] != first


def test_a_missing_program_is_named(ask, tmp_path):
    missing = str(tmp_path / "no such geosam")
    failure = ask(WorkerClient(WorkerCommand(missing, ("worker",), "test")), "status", {})
    assert failure.code == GONE
    assert missing in failure.message
