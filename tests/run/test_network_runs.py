"""Runs with a network of random weights: the promises of runs hold for networks, too."""

import json
import os
import subprocess
import sys
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from scenes import write_scene

import geosam
from geosam.apps.cli.main import run
from geosam.apps.cli.report import Report
from geosam.apps.cli.signals import Signals
from geosam.errors import UsageError
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.everything import AutomaticRule
from geosam.prompts.prompt import Prompt
from geosam.run.embedding import embed_scene
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.segmenter import KeepRule

WIDTH, HEIGHT = 300, 200
#: Random weights predict any IoU, and their masks are ragged and have much the same box.
OPTIONS = RunOptions(
    tile_size=192, overlap=64, keep=KeepRule(-9.0, 0.3, 1.0), automatic=AutomaticRule(spacing_px=96), overwrite=True
)
TILES = 2 * 2


@pytest.fixture(scope="module")
def references():
    """The authors' networks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import references
    return references


@pytest.fixture(scope="module")
def checkpoint(references, tmp_path_factory):
    """A checkpoint of MobileSAM."""
    return references.save(references.mobile_sam(), tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(scope="module")
def segmenter(checkpoint):
    """The network."""
    return load_segmenter(str(checkpoint), "cpu", "fp32", "torch")


def picture(seed=3):
    """(3, 200, 300) blocks of colour with noise."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(30, 256, (3, 4, 6)), np.ones((1, 50, 50)))
    return np.clip(blocks + rng.normal(0, 8, blocks.shape), 1, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The scene."""
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", picture(), photometric="rgb")


@pytest.fixture(scope="module")
def found(path, segmenter, tmp_path_factory):
    """(bytes of the output, summary) of a run without a store in one process."""
    return segment(path, segmenter, tmp_path_factory.mktemp("found"))


def segment(path, segmenter, folder, store=None, **options):
    """One output name always: it is in the bytes."""
    out = Path(folder) / "out.gpkg"
    with closing(open_scene(path)) as scene:
        summary = segment_scene(scene, segmenter, out, replace(OPTIONS, **options), store=store)
    return out.read_bytes(), summary


def never(rgb, valid):
    """Stands in for an encoder that must not be called."""
    raise AssertionError(f"embedded {rgb.shape[0]} tiles of {valid.shape[1:]} px")


def test_everything_is_looked_for(found, path, tmp_path):
    data, summary = found
    assert (summary.tiles, summary.skipped_tiles, summary.warnings) == (TILES, 0, ())
    assert summary.count > 3
    (tmp_path / "out.gpkg").write_bytes(data)
    frame = pyogrio.read_dataframe(tmp_path / "out.gpkg")
    assert frame.geometry.is_valid.all()
    with closing(open_scene(path)) as scene:
        assert (frame.total_bounds[:2] >= np.array(scene.geobox.bounds[:2]) - 1e-6).all()
    assert set(frame["model"]) == {"mobile_sam/random"}


@pytest.mark.fault("Q12")
def test_no_cold_and_warm_store_give_the_same_bytes(found, path, segmenter, tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path / "store")
    assert segment(path, segmenter, tmp_path, store)[0] == found[0]
    monkeypatch.setattr(segmenter, "embed", never)
    assert segment(path, segmenter, tmp_path, EmbeddingStore(tmp_path / "store"))[0] == found[0]


@pytest.mark.fault("Q12")
def test_two_processes_find_what_one_finds(found, path, segmenter, tmp_path):
    assert segment(path, segmenter, tmp_path, workers=2)[0] == found[0]


def test_a_store_filled_ahead_is_all_that_a_run_needs(found, path, segmenter, tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path / "store")
    with closing(open_scene(path)) as scene:
        summary = embed_scene(scene, segmenter, store, OPTIONS)
    assert (summary.tiles, summary.computed) == (TILES, TILES)
    monkeypatch.setattr(segmenter, "embed", never)
    assert segment(path, segmenter, tmp_path, store)[0] == found[0]


def clicks(scene, granularity="auto"):
    """A point, a box, and several points, in map coordinates."""
    crs = scene.geobox.crs

    def at(*xy):
        return scene.geobox.to_map(np.array(xy, np.float64))

    one = np.ones(1, np.int8)
    x0, y1, x1, y0 = at((30, 40), (120, 110)).ravel().tolist()
    return [
        Prompt("point", crs, at((75, 75)), one, granularity=granularity),
        Prompt("box", crs, box_xyxy=(x0, y0, x1, y1), granularity=granularity),
        Prompt("points", crs, at((220, 60), (250, 150)), np.array([1, 0], np.int8), granularity=granularity),
    ]


def ask(path, segmenter, folder, granularity="auto", store=None, **options):
    out = Path(folder) / "out.gpkg"
    with closing(open_scene(path)) as scene:
        prompts = clicks(scene, granularity)
        summary = segment_prompts(scene, segmenter, prompts, out, replace(OPTIONS, **options), store=store)
    return out.read_bytes(), summary


def test_prompts_are_answered_at_every_granularity(path, segmenter, tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    areas = {}
    for granularity in ("auto", "part", "whole", "group"):
        # one window, because the levels are those of a window: an object that goes on in others may overtake
        _, summary = ask(path, segmenter, tmp_path, granularity, store, tile_size=300)
        assert summary.count == 3
        frame = pyogrio.read_dataframe(tmp_path / "out.gpkg")
        areas[granularity] = dict(zip(frame["prompt_id"], frame["area_m2"], strict=True))
    assert areas["part"]["point"] <= areas["whole"]["point"] <= areas["group"]["point"]
    assert areas["part"]["point"] < areas["group"]["point"]


@pytest.mark.fault("Q12")
def test_prompts_find_the_same_with_any_store_and_in_any_number_of_processes(path, segmenter, tmp_path):
    expected, _ = ask(path, segmenter, tmp_path)
    store = EmbeddingStore(tmp_path / "store")
    assert ask(path, segmenter, tmp_path, store=store)[0] == expected
    assert ask(path, segmenter, tmp_path, store=store, workers=2)[0] == expected


def test_nodata_gets_no_objects_and_is_not_embedded(segmenter, tmp_path, monkeypatch):
    image = picture()
    image[:, :, :150] = 0
    path = write_scene(tmp_path / "half.tif", image, photometric="rgb", nodata=0)
    data, summary = segment(path, segmenter, tmp_path)
    assert summary.count > 0
    frame = pyogrio.read_dataframe(tmp_path / "out.gpkg")
    assert frame.total_bounds[0] >= 500_000 + 150 * 0.5
    image[:] = 0
    path = write_scene(tmp_path / "none.tif", image, photometric="rgb", nodata=0)
    monkeypatch.setattr(segmenter, "embed", never)
    _, summary = segment(path, segmenter, tmp_path)
    assert (summary.count, summary.skipped_tiles) == (0, TILES)
    assert data


def test_crop_layers_look_closer_and_only_networks_do(found, path, segmenter, tmp_path):
    rule = AutomaticRule(spacing_px=96, crop_layers=1)
    closer, summary = segment(path, segmenter, tmp_path, tile_size=300, overlap=64, automatic=rule)
    assert summary.count > 0
    assert closer != found[0]
    with pytest.raises(
        UsageError, match="the model regions cannot segment enlarged crops: `crop_layers`: found 1, expected 0"
    ):
        segment(path, load_segmenter("regions"), tmp_path, automatic=rule)


def test_a_tile_larger_than_the_networks_input_is_refused(segmenter, tmp_path):
    path = write_scene(tmp_path / "wide.tif", np.ones((3, 8, 1100), np.uint8), photometric="rgb")
    with pytest.raises(UsageError, match="`tile_size`: found 1100 x 8 px, expected at most 1024 x 1024"):
        segment(path, segmenter, tmp_path, tile_size=1100)


def test_bf16_finds_much_the_same(found, path, checkpoint, tmp_path):
    halved = load_segmenter(str(checkpoint), "cpu", "bf16", "torch")
    _, summary = segment(path, halved, tmp_path)
    assert summary.count == pytest.approx(found[1].count, rel=0.5)


def test_sam_2_runs_like_any_other(references, path, tmp_path):
    weights = references.save(references.sam2_tiny(), tmp_path / "random.pt", "model")
    segmenter = load_segmenter(str(weights), "cpu", "fp32", "torch")
    store = EmbeddingStore(tmp_path / "store")
    options = {"tile_size": 300, "keep": KeepRule(0.0, 0.3, 1.0)}
    expected, summary = segment(path, segmenter, tmp_path, store, **options)
    assert (summary.tiles, summary.count > 0) == (1, True)
    assert segment(path, segmenter, tmp_path, store, **options)[0] == expected
    _, summary = ask(path, segmenter, tmp_path, store=store, **options)
    assert summary.count == 3


# The command line.

NETWORK = ("--device", "cpu", "--precision", "fp32", "--backend", "torch")
QUICK = ("--tile-size", "192", "--overlap", "64", "--spacing", "96", "--min-iou", "0", "--min-stability", "0.5")


@pytest.fixture
def command(capfd, tmp_path, monkeypatch):
    """``command("segment", ...)`` in this process -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Signals, "settle", lambda _: None)

    def call(*args):
        capfd.readouterr()
        code = run([str(arg) for arg in args], Report(), Signals())
        return code, *capfd.readouterr()

    return call


def warnings_in(text):
    return [line for line in text.splitlines() if line.startswith("warning: ")]


@pytest.mark.fault("Q12")
def test_embed_then_segment_on_the_command_line(command, path, checkpoint, tmp_path):
    model = ("--model", checkpoint, *NETWORK)
    cached = ("--cache", tmp_path / "store")
    code, _, said = command("embed", path, "-o", tmp_path / "store", *model, *QUICK[:4])
    assert code == 0
    assert f"{TILES} tiles, {TILES} computed and 0 already there" in said
    files = []
    for more in ((), cached, cached):
        code, out, said = command("segment", path, "-o", "out.gpkg", *model, *QUICK, "--overwrite", "--json", *more)
        assert code == 0
        assert json.loads(out)["count"] > 0
        assert len(warnings_in(said)) == 1
        files.append(Path("out.gpkg").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.fault("C09")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_of_the_user_is_called_unverified_once(path, checkpoint, tmp_path, workers):
    args = ("segment", path, "-o", "out.gpkg", "--model", checkpoint, *NETWORK, *QUICK, "--workers", workers)
    places = {"PYTHONPATH": str(Path(geosam.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "geosam", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=120,
        env=os.environ | places,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not verified") == 1
    assert warnings_in(done.stderr) == [f"warning: the checkpoint is not verified: {checkpoint}: no attested hash"]


def test_a_point_on_the_command_line(command, path, checkpoint):
    point = ("--point", "500037.5,4999962.5", "--granularity", "whole")
    code, _, said = command(
        "segment", path, "-o", "out.geojson", "--model", checkpoint, *NETWORK, "--tile-size", "300", *point
    )
    assert (code, "1 polygon from 1 tile" in said) == (0, True)
    assert len(json.loads(Path("out.geojson").read_text())["features"]) == 1


#: Options -> (exit code, what is said).
REFUSED = {
    ("--tile-size", "2048"): (2, "--tile-size: found 1100 x 8 px, expected at most 1024 x 1024"),
    ("--model", "regions", "--crop-layers", "1"): (2, "--crop-layers: found 1, expected 0"),
    ("--model", "regions", "--precision", "bf16"): (2, "--precision: found 'bf16'"),
    ("--precision", "fp16"): (5, "--precision: found 'fp16'"),
    ("--model", "sam_vit_b"): (5, "geosam models download sam_vit_b"),
    ("--model", "nowhere.pth"): (5, "nowhere.pth"),
}


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
def test_refusals_are_one_line(command, checkpoint, tmp_path, monkeypatch, options):
    monkeypatch.setenv("GEOSAM_CHECKPOINTS", str(tmp_path / "none"))
    path = write_scene(tmp_path / "wide.tif", np.full((3, 8, 1100), 9, np.uint8), photometric="rgb")
    model = ("--model", checkpoint, "--device", "cpu", "--backend", "torch")
    given = (*model[:4], *options) if "regions" in options else (*model, *options)
    found, _, err = command("segment", path, "-o", "out.gpkg", *given)
    code, said = REFUSED[options]
    assert found == code, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert said in line
    assert not Path("out.gpkg").exists()
