import subprocess

import numpy as np
import pytest
import rasterio
from affine import Affine
from calls import ENVIRONMENT, GEOSAM, RECTANGLES, Outcome

from geosam.apps.cli.main import run
from geosam.apps.cli.report import Report
from geosam.apps.cli.signals import Signals


@pytest.fixture
def geosam(capfd, tmp_path, monkeypatch):
    """``geosam("info", path)`` in this process, in a folder of its own; signals stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Signals, "settle", lambda _: None)

    def call(*args):
        capfd.readouterr()
        code = run([str(arg) for arg in args], Report(), Signals())
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture
def geosam_process(tmp_path):
    """``geosam_process("info", path)`` in a process of its own, piped."""

    def call(*args, **options):
        command = [*GEOSAM, *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False, timeout=60, **options
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def tiny(tmp_path):
    """A scene of 64 x 48 pixels of 2 m with three rectangles on a background: four objects to the exact segmenter."""
    pixels = np.zeros((3, 48, 64), np.uint8)
    for number, (x, y, width, height) in enumerate(RECTANGLES, start=1):
        pixels[:, y : y + height, x : x + width] = np.array([[[80 * number]], [[200]], [[255 - 60 * number]]])
    path = tmp_path / "tiny.tif"
    profile = {"driver": "GTiff", "width": 64, "height": 48, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=Affine(2, 0, 5e5, 0, -2, 5e6), **profile) as file:
        file.write(pixels)
    return path
