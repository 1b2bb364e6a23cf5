"""`geosam embed`, and `geosam segment --cache`."""

import subprocess

import numpy as np
import pytest
from calls import ENVIRONMENT, GEOSAM
from click import BadParameter
from known_answers import flat_scene
from scenes import write_scene

from geosam.apps.cli.options.recorded import recorded_command
from geosam.apps.cli.options.value_types import SIZE

EXACT = ("--model", "threshold", "--tile-size", "64", "--overlap", "16")


@pytest.fixture
def scene(tmp_path):
    picture = flat_scene(np.random.default_rng(3), 150, 210, 40)
    return write_scene(tmp_path / "scene.tif", picture, photometric="rgb")


def entries(folder):
    return sorted(folder.glob("??/*.safetensors"))


def test_embed_fills_a_store_and_tells_what_it_did(scene, geosam):
    folder = scene.parent / "store"
    done = geosam("embed", scene, "-o", "store", *EXACT, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json | {"seconds": 0} == {
        "store": str(folder),
        "tiles": 15,
        "computed": 15,
        "reused": 0,
        "skipped": 0,
        "bytes": sum(path.stat().st_size for path in entries(folder)),
        "failed_tiles": [],
        "warnings": [],
        "seconds": 0,
        "exit_code": 0,
    }
    again = geosam("embed", scene, "-o", "store", *EXACT, "--workers", "2")
    assert (again.code, again.out) == (0, "")
    assert again.err.startswith(f"{folder}: 15 tiles, 0 computed and 15 already there, 0.2 MiB, in ")
    assert geosam("embed", scene, "-o", "store", *EXACT, "--quiet").err == ""


def test_a_window_is_embedded_as_a_part_of_the_whole(scene, geosam):
    part = geosam("embed", scene, "-o", "store", *EXACT, "--json", "--window", "500000,4999960,500030,5000000").json
    assert 0 < part["tiles"] == part["computed"] < 15
    whole = geosam("embed", scene, "-o", "store", *EXACT, "--json").json
    assert (whole["tiles"], whole["reused"]) == (15, part["tiles"])


@pytest.mark.fault("Q12")
def test_the_output_is_the_same_with_any_cache_and_none(scene, geosam):
    args = ("segment", scene, "-o", "out.gpkg", *EXACT, "--overwrite")
    out = scene.parent / "out.gpkg"

    def made(*more):
        done = geosam(*args, *more)
        assert (done.code, done.out) == (0, "")
        assert "warning" not in done.err
        return out.read_bytes()

    expected = made()
    assert made("--cache", "store") == expected
    assert len(entries(scene.parent / "store")) == 15
    assert made("--cache=store", "--cache-size=1M") == expected
    geosam("embed", scene, "-o", "other", *EXACT)
    before = [path.stat().st_mtime_ns for path in entries(scene.parent / "other")]
    assert made("--cache", "other", "--cache-size", "1G") == expected
    after = [path.stat().st_mtime_ns for path in entries(scene.parent / "other")]
    assert all(used > written for used, written in zip(after, before, strict=True))


@pytest.mark.fault("Q12")
def test_prompts_use_the_cache_too(scene, geosam):
    args = ("segment", scene, "-o", "out.gpkg", *EXACT, "--overwrite", "--point", "500020.2,4999970.3")
    files = []
    for more in ((), ("--cache", "store"), ("--cache", "store")):
        assert geosam(*args, *more).code == 0
        files.append((scene.parent / "out.gpkg").read_bytes())
    assert files[0] == files[1] == files[2]
    assert entries(scene.parent / "store")


@pytest.mark.fault("L11")
def test_four_jobs_on_one_cache_give_the_results_of_one(scene):
    command = [*GEOSAM, "segment", str(scene), "-o", "out.gpkg", *EXACT, "--quiet"]
    folders = [scene.parent / name for name in ("alone", "a", "b", "c", "d")]
    for folder in folders:
        folder.mkdir()
    subprocess.run(command, cwd=folders[0], env=ENVIRONMENT, check=True)
    shared = ["--cache", str(scene.parent / "store"), "--cache-size", "120K"]
    jobs = [
        subprocess.Popen([*command, *shared], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        for folder in folders[1:]
    ]
    for job in jobs:
        told = job.communicate(timeout=120)[1]
        assert (job.returncode, told) == (0, "")
    assert len({(folder / "out.gpkg").read_bytes() for folder in folders}) == 1
    assert [path.name for path in (scene.parent / "store").rglob("*.partial")] == []


@pytest.mark.fault("C26")
def test_a_cache_that_cannot_be_made_is_warned_of(scene, geosam):
    done = geosam("segment", scene, "-o", "out.gpkg", *EXACT, "--cache", "/proc/nowhere", "--json")
    assert done.code == 0
    (warning,) = done.json["warnings"]
    assert "/proc/nowhere" in warning
    refused = geosam("embed", scene, "-o", "/proc/nowhere", *EXACT)
    assert refused.code == 6
    assert "/proc/nowhere" in refused.error()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("segment", "{scene}", "--cache-size", "1G"), "--cache"),
        (("segment", "{scene}", "--cache", "{scene}"), "found a file"),
        (("segment", "{scene}", "--cache", "."), "no embedding store"),
        (("segment", "{scene}", "--cache", "store", "-o", "store/out.gpkg"), "lies in the embedding store"),
        (("segment", "{scene}", "--cache", "store", "--cache-size", "lots"), "'lots' is no size"),
        (("embed", "{scene}"), "-o"),
        (("embed", "{scene}", "-o", "store", "--cache-size", "10K", *EXACT), "too small"),
        (("embed", "{scene}", "-o", "store", "--cache-size", "60K", *EXACT), "too small"),
        (("embed", "{scene}", "-o", "."), "no embedding store"),
        (("embed", "{scene}", "-o", "store", "--overlap", "64", "--tile-size", "64"), "--overlap"),
    ],
)
def test_usage_errors_end_in_2_and_name_what_is_wrong(args, told, scene, geosam):
    done = geosam(*(arg.format(scene=scene) for arg in args))
    assert (done.code, done.out) == (2, "")
    assert told in done.error()
    assert not (scene.parent / "scene_segments.gpkg").exists()


@pytest.mark.fault("O28")
def test_nothing_is_made_where_the_call_is_wrong(scene, geosam):
    geosam("segment", scene.with_name("no such.tif"), "--cache", "store")
    geosam("embed", scene.with_name("no such.tif"), "-o", "store")
    assert [path.name for path in scene.parent.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512", 512), ("2k", 2048), ("1.5M", 3 << 19), ("20G", 20 << 30), ("20GiB", 20 << 30), ("1TB", 1 << 40)],
)
def test_sizes(text, size):
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "G", "1X", "1 000", "0.1"])
def test_texts_that_are_no_sizes(text):
    with pytest.raises(BadParameter, match="is no size"):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize(
    ("command", "recorded"),
    [
        ("geosam segment a.tif --cache x -o 'b c.gpkg'", "geosam segment a.tif -o 'b c.gpkg'"),
        ("geosam segment --cache='x y' a.tif --cache-size 2G --json", "geosam segment a.tif --json"),
        ("geosam segment a.tif --cache-size=2G --workers 2", "geosam segment a.tif --workers 2"),
        ("geosam segment a.tif", "geosam segment a.tif"),
    ],
)
def test_the_provenance_has_the_command_without_the_cache(command, recorded):
    assert recorded_command(command) == recorded
