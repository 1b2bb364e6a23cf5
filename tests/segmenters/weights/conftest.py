"""Fixtures of the tests of weights: an empty folder of checkpoints, a server on this machine."""

import pytest
from checkpoint_server import serving


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of checkpoints, and an environment without proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


@pytest.fixture
def server():
    with serving() as started:
        yield started
