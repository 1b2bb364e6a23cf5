"""Facts about the machine, as a diagnosis shows them."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version

import psutil

from geosam.apps.worker import machine


def test_versions_are_those_that_are_installed():
    versions = machine.versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == version("torch")
    assert {"geosam", "gdal", "numpy", "rasterio", "shapely", "pyproj", "pyogrio"} < versions.keys()


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(machine, "_DISTRIBUTIONS", ("no-such-distribution",))
    assert machine.versions()["no-such-distribution"] is None


def test_memory_is_what_the_system_says():
    process = psutil.Process().memory_info().rss
    assert abs(machine.resident_bytes() - process) < 0.2 * process
    assert machine.machine_bytes() == psutil.virtual_memory().total


def test_memory_is_unknown_where_the_system_does_not_say_it(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert machine.machine_bytes() is None


def test_nothing_large_is_imported_to_find_it_out():
    code = (
        "import sys; from geosam.apps.worker import machine; machine.versions(); machine.resident_bytes(); "
        "heavy = {'numpy', 'torch', 'rasterio', 'pyproj'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
