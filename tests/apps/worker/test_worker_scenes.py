"""The rasters that a worker opens, holds and forgets."""

import shutil

import psutil
import pytest
from scenes import picture, write_scene
from workers import MODEL, ask, draft, place, point

from geosam.apps.worker import protocol
from geosam.scene import open_scene


def test_a_raster_is_described_as_the_library_opens_it(shared_worker, scene_path, scene):
    opened = open_scene(scene_path)
    assert (scene["width"], scene["height"], scene["authority"]) == (300, 240, "EPSG:32633")
    assert scene["transform"] == list(opened.geobox.transform[:6])
    assert scene["bounds"] == list(opened.geobox.bounds)
    assert scene["gsd_m"] == list(opened.gsd_xy)
    assert scene["crs"] == opened.geobox.crs.to_wkt()
    assert shared_worker.ask("open", path=str(scene_path))["scene"] == scene["scene"]
    other = shared_worker.ask("open", path=str(scene_path), options={"stretch": "none"})
    assert other["scene"] != scene["scene"]
    shared_worker.ask("close", scene=other["scene"])


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "path",
    [
        "missing.tif",
        "/vsicurl/http://127.0.0.1/a.tif",
        "/vsizip/a.zip",
        "WMS:http://127.0.0.1",
        "/etc/hostname",
        "/dev/zero",
    ],
)
def test_what_is_no_raster_file_is_not_opened(path, shared_worker):
    error = shared_worker.refused("open", path=path)
    assert (error["code"], error["data"]["exit_code"]) == (protocol.REFUSED, 3), error


@pytest.mark.fault("F20")
def test_a_raster_that_was_not_opened_or_was_closed_is_not_read(shared_worker, scene_path):
    scene = shared_worker.ask("open", path=str(scene_path), options={"bands": [1, 2, 3]})
    shared_worker.ask("close", scene=scene["scene"])
    for name in (scene["scene"], str(scene_path)):
        error = shared_worker.refused("segment", scene=name, model=MODEL, draft=draft(point(*place(scene, 9, 9))))
        assert "no scene has this id" in error["message"]
        assert (error["data"]["code"], error["data"]["values"]) == ("scene-not-open", {"scene": name[:100]})
    assert shared_worker.ask("close", scene="never opened") == {}


@pytest.mark.fault("Q14")
def test_a_file_that_was_replaced_is_another_scene(shared_worker, tmp_path):
    path = write_scene(tmp_path / "changing.tif", picture(100, 100, seed=1), photometric="rgb")
    old = shared_worker.ask("open", path=str(path))
    ask(shared_worker, old, point(*place(old, 50, 50)))
    shutil.copy(write_scene(tmp_path / "next.tif", picture(100, 100, seed=2), photometric="rgb"), path)
    error = shared_worker.refused("segment", scene=old["scene"], model=MODEL, draft=draft(point(*place(old, 50, 50))))
    assert error["data"]["type"] == "UnreadableScene"
    new = shared_worker.ask("open", path=str(path))
    assert new["scene"] != old["scene"]
    expected = ask(
        shared_worker, shared_worker.ask("open", path=str(tmp_path / "next.tif")), point(*place(new, 50, 50))
    )
    assert ask(shared_worker, new, point(*place(new, 50, 50)))["object"] == expected["object"]


@pytest.mark.fault("L08")
def test_more_scenes_than_are_held_open_are_all_answered(shared_worker, tmp_path):
    process = psutil.Process(shared_worker.process.pid)
    scenes = []
    for number in range(24):
        path = write_scene(tmp_path / f"{number}.tif", picture(64, 64, seed=number), photometric="rgb")
        scenes.append(shared_worker.ask("open", path=str(path)))
    first = [ask(shared_worker, scene, point(*place(scene, 30, 30))) for scene in scenes]
    assert sum(name.path.startswith(str(tmp_path)) for name in process.open_files()) <= 16
    assert [ask(shared_worker, scene, point(*place(scene, 30, 30))) for scene in scenes] == first
    for scene in scenes:
        shared_worker.ask("close", scene=scene["scene"])
    assert not any(name.path.startswith(str(tmp_path)) for name in process.open_files())
