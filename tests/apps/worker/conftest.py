import fake_service
import pytest
from scenes import picture, write_scene
from workers import LocalServer, Worker

from geosam.apps.worker import server


@pytest.fixture
def local(monkeypatch):
    """A server in this process whose methods are those of `fake_service`."""
    fake_service.reset()
    for lane in server.SERVICES:
        monkeypatch.setitem(server.SERVICES, lane, "fake_service:Fake")
    client = LocalServer()
    client.ask("initialize", protocol=1)
    yield client
    for name in list(fake_service.begun):
        fake_service.may_go[name].set()
    assert client.stop()


@pytest.fixture
def worker():
    """A worker of its own."""
    client = Worker()
    client.greet()
    yield client
    client.stop()


@pytest.fixture(scope="module")
def shared_worker():
    """A worker for the tests of a module that leave it as it was."""
    client = Worker()
    client.greet()
    yield client
    assert client.ask("status")["waiting"] == 0
    client.stop()


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory):
    """A scene of 300 x 240 px of half a metre, in a path that is not plain ASCII."""
    folder = tmp_path_factory.mktemp("a scène")
    return write_scene(folder / "flat.tif", picture(300, 240), photometric="rgb")


@pytest.fixture(scope="module")
def scene(shared_worker, scene_path):
    """The scene of `scene_path`, opened by the shared worker."""
    return shared_worker.ask("open", path=str(scene_path))
