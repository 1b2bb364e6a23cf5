"""Fingerprints: identity of content, and files that change while they are read."""

import os
import shutil

import pytest
from scenes import SCENES, picture, write_scene

from geosam.errors import UnreadableScene
from geosam.scene import open_scene


def test_the_fingerprint_follows_the_content_only(tmp_path):
    path = SCENES["north_up"](tmp_path)
    first = open_scene(path).fingerprint
    os.utime(path, (1, 1))
    copy = shutil.copy(path, tmp_path / "copy.tif")
    assert open_scene(path).fingerprint == first
    assert open_scene(copy).fingerprint == first
    changed = picture()
    changed[0, 5, 5] ^= 1
    assert open_scene(write_scene(path, changed, photometric="rgb")).fingerprint != first


@pytest.mark.fault("R15")
def test_sidecars_are_part_of_the_fingerprint(tmp_path):
    path = SCENES["north_up"](tmp_path)
    first = open_scene(path).fingerprint
    path.with_name("scene.tif.aux.xml").write_text("<PAMDataset><GeoTransform>7,1,0,7,0,-1</GeoTransform></PAMDataset>")
    assert open_scene(path).fingerprint != first


def test_the_fingerprint_of_a_large_file_samples_its_whole_length(tmp_path, monkeypatch):
    from geosam.scene import fingerprint

    monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "_BLOCK_BYTES", 64)
    path = tmp_path / "large"
    data = bytearray(200_000)
    prints = set()
    for place in (None, 0, 100_000 - 30, 199_999):
        changed = bytearray(data)
        if place is not None:
            changed[place // 784 * 784 if 0 < place < 199_999 else place] = 1
        path.write_bytes(changed)
        prints.add(fingerprint.content_fingerprint([str(path)]))
    assert len(prints) >= 3
    path.write_bytes(data[:-1])
    assert fingerprint.content_fingerprint([str(path)]) not in prints


@pytest.mark.fault("R62", "R64")
def test_files_that_change_while_they_are_read_are_noticed(tmp_path):
    path = SCENES["north_up"](tmp_path)
    opened = open_scene(path)
    opened.verify_unchanged()
    info = path.stat()
    other = write_scene(tmp_path / "other.tif", picture(seed=9), photometric="rgb")
    other.replace(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(UnreadableScene, match=r"changed while reading: .*scene\.tif"):
        opened.verify_unchanged()
    path.unlink()
    with pytest.raises(UnreadableScene, match="changed while reading"):
        opened.verify_unchanged()
