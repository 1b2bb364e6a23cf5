import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas import read_file
from known_answers import flat_scene
from rasterio.features import rasterize
from scipy import ndimage

from geosam.segmenters.masks import Granularity
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.regions.segmenter import RegionsSegmenter
from geosam.segmenters.segmenter import KeepRule

REGIONS = RegionsSegmenter()
HEIGHT, WIDTH = 150, 200
Y, X = np.mgrid[:HEIGHT, :WIDTH] + 0.5
DISC = np.hypot(X - 50, Y - 60) <= 30
ROOF = (X > 100) & (X < 180) & (Y > 40) & (Y < 90)
LEFT_HALF = ROOF & (X < 140)


def yard(seed=0):
    """A disc and a roof of two halves of similar colour on grass, with noise (3, H, W)."""
    rgb = np.empty((3, HEIGHT, WIDTH))
    for mask, colour in ((np.ones_like(DISC), (70, 110, 60)), (DISC, (200, 190, 180)), (ROOF, (170, 70, 50))):
        rgb[:, mask] = np.array(colour)[:, None]
    rgb[:, LEFT_HALF] += 25
    rgb += np.random.default_rng(seed).normal(0, 4, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def embed(rgb, valid=None):
    valid = np.ones(rgb.shape[1:], bool) if valid is None else valid
    return REGIONS.embed(rgb[None], valid[None])[0]


def prompt(points=(), labels=None, box=None, mask=None):
    points = np.array(points, np.float64).reshape(-1, 2)
    labels = np.ones(len(points), np.int8) if labels is None else np.array(labels, np.int8)
    return PixelPrompts((points,), (labels,), np.array([[np.nan] * 4 if box is None else box], np.float64), (mask,))


def ask(embedding, *, multimask=False, **kwargs):
    return REGIONS.decode(embedding, prompt(**kwargs), multimask=multimask, keep=None)


def only(embedding, **kwargs):
    found = ask(embedding, **kwargs)
    assert found.prompt_index.tolist() == [0]
    return found.full(0)


def iou(one, two):
    return np.count_nonzero(one & two) / np.count_nonzero(one | two)


def bounds(mask):
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return cols[0], rows[0], cols[-1] + 1, rows[-1] + 1


@pytest.fixture(scope="module")
def embedding():
    return embed(yard())


def random_tile(seed):
    """Flat shapes with noise, and a ragged valid mask that falls apart into pieces."""
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(20, 140, 2))
    rgb = flat_scene(rng, height, width, 15).astype(int) + rng.integers(-5, 6, (3, height, width))
    valid = rng.random((height, width)) > 0.05
    valid[height // 2] = valid[:, width // 3] = False
    return np.clip(rgb, 0, 255).astype(np.uint8), valid


@pytest.mark.parametrize("seed", range(8))
def test_proposals_partition_the_valid_pixels_into_4_connected_regions(seed):
    rgb, valid = random_tile(seed)
    found = REGIONS.propose(embed(rgb, valid), KeepRule())
    full = [found.full(row) for row in range(len(found))]
    assert np.array_equal(np.sum(full, axis=0), valid)
    assert all(ndimage.label(mask)[1] == 1 for mask in full)
    assert ((found.predicted_iou > 0) & (found.predicted_iou <= 1)).all()
    assert ((found.stability_score > 0) & (found.stability_score <= 1)).all()


def test_proposals_find_the_objects_of_a_simple_picture(embedding):
    found = REGIONS.propose(embedding, KeepRule())
    full = [found.full(row) for row in range(len(found))]
    assert max(iou(mask, DISC) for mask in full) > 0.95
    assert max(iou(mask, LEFT_HALF) for mask in full) > 0.9
    assert len(found) < 20


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_confined_to_valid_pixels(seed):
    rgb, valid = random_tile(seed)
    height, width = valid.shape
    tile, rng = embed(rgb, valid), np.random.default_rng(seed)
    for _ in range(10):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        mask = np.hypot(*np.ogrid[-y : height - y, -x : width - x]) < 12
        for asked in ({"points": [(x, y)]}, {"box": (x - 9, y - 9, x + 9, y + 12)}, {"mask": mask}):
            found = ask(tile, multimask=True, **asked)
            assert not any((found.full(row) & ~valid).any() for row in range(len(found)))
            assert len(found) or not valid[int(y), int(x)]


def test_what_lies_under_invalid_pixels_changes_nothing():
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[30:50, 20:120] = False
    black, noisy = yard(), yard()
    black[:, ~valid] = 0
    noisy[:, ~valid] = np.random.default_rng(1).integers(0, 255, noisy[:, ~valid].shape)
    one, two = embed(black, valid), embed(noisy, valid)
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)


def test_a_click_selects_the_object_under_it(embedding):
    assert iou(only(embedding, points=[(50, 60)]), DISC) > 0.95
    assert iou(only(embedding, points=[(30.5, 60)]), DISC) > 0.95


def test_part_whole_and_group_are_nested_and_the_whole_is_the_best(embedding):
    found = ask(embedding, points=[(120, 65)], multimask=True)
    levels = {Granularity(level): row for row, level in enumerate(found.granularity)}
    assert set(levels) == set(Granularity)
    part, whole, group = (found.full(levels[level]) for level in Granularity)
    assert not (part & ~whole).any()
    assert not (whole & ~group).any()
    assert np.argmax(found.predicted_iou) == levels[Granularity.WHOLE]
    assert np.array_equal(whole, only(embedding, points=[(120, 65)]))


def test_several_points_select_everything_under_them(embedding):
    assert iou(only(embedding, points=[(50, 60), (120, 65), (165, 65)]), DISC | ROOF) > 0.9


def test_an_excluding_point_is_never_in_the_mask(embedding):
    both = only(embedding, points=[(120, 65), (165, 65)])
    half = only(embedding, points=[(120, 65), (165, 65)], labels=[1, 0])
    assert both[65, 165]
    assert not half[65, 165]
    assert iou(half, LEFT_HALF) > 0.9
    assert len(ask(embedding, points=[(120, 65), (120, 65)], labels=[1, 0])) == 0


@pytest.mark.parametrize("truth", [DISC, ROOF])
def test_a_box_selects_the_object_it_was_drawn_around(embedding, truth):
    assert iou(only(embedding, box=bounds(truth)), truth) > 0.95


def test_a_box_may_be_a_little_loose_and_stays_the_limit(embedding):
    x0, y0, x1, y1 = bounds(DISC)
    loose = only(embedding, box=(x0 - 3.2, y0 - 3.2, x1 + 3.2, y1 + 3.2))
    assert iou(loose, DISC) > 0.93
    cut = only(embedding, box=(x0, y0, x1, y1 - 20))
    assert bounds(cut)[3] <= y1 - 20


def test_points_add_to_a_box_and_take_away_from_it(embedding):
    without = only(embedding, box=bounds(ROOF), points=[(165, 65)], labels=[0])
    assert iou(without, LEFT_HALF) > 0.9
    more = only(embedding, box=bounds(ROOF), points=[(50, 60)])
    assert iou(more, ROOF | DISC) > 0.9


def test_an_outline_says_where_a_box_lies_that_is_not_upright(embedding):
    diamond = np.abs(X - 50) + np.abs(Y - 60) <= 45
    found = only(embedding, box=bounds(diamond), mask=diamond)
    assert iou(found, DISC) > 0.95
    assert not (found & ~diamond).any()


def test_a_mask_snaps_to_the_contours(embedding):
    for rough in (ndimage.binary_dilation(DISC, iterations=3), np.roll(DISC, (3, 3), axis=(0, 1))):
        assert iou(only(embedding, mask=rough), DISC) > iou(rough, DISC) + 0.05
    assert iou(only(embedding, mask=DISC), DISC) > 0.95


def test_a_mask_of_one_pixel_selects_something_there(embedding):
    tiny = np.zeros_like(DISC)
    tiny[60, 50] = True
    assert only(embedding, mask=tiny)[58:63, 48:53].any()


def test_a_better_fit_is_predicted_to_be_better(embedding):
    clear = ask(embedding, box=bounds(DISC)).predicted_iou[0]
    assert clear > 0.85
    assert clear > ask(embedding, box=(80, 80, 130, 140)).predicted_iou[0]


def test_prompts_are_answered_in_order_and_independently(embedding):
    boxes = np.array([bounds(ROOF), (900, 900, 950, 950), bounds(DISC)], np.float64)
    none = (np.empty((0, 2)),) * 3
    found = REGIONS.decode(
        embedding,
        PixelPrompts(none, (np.empty(0, np.int8),) * 3, boxes, (None,) * 3),
        multimask=False,
        keep=None,
    )
    assert found.prompt_index.tolist() == [0, 2]
    assert np.array_equal(found.full(0), only(embedding, box=boxes[0]))
    assert np.array_equal(found.full(1), only(embedding, box=boxes[2]))


@pytest.mark.fault("P02")
@pytest.mark.parametrize("asked", [{"points": [(50, 60)]}, {"box": (30, 40, 70, 80)}, {"mask": DISC}])
def test_a_prompt_on_invalid_pixels_gives_no_row(asked):
    valid = X > 100
    assert len(ask(embed(yard(), valid), **asked)) == 0


def test_points_and_boxes_outside_the_window_give_no_row(embedding):
    for asked in (
        {"points": [(-1, 5), (WIDTH, 5), (5, HEIGHT)]},
        {"box": (-30, -30, 0, 0)},
        {"box": (WIDTH, 0, 300, 9)},
    ):
        assert len(ask(embedding, **asked)) == 0


@pytest.mark.fault("R25")
@pytest.mark.parametrize("shape_hw", [(1, 1), (1, 50), (50, 1), (2, 3), (5, 5)])
def test_tiles_smaller_than_the_filters(shape_hw):
    rgb = np.random.default_rng(0).integers(0, 255, (3, *shape_hw), dtype=np.uint8)
    tile = embed(rgb)
    assert sum(REGIONS.propose(tile, KeepRule()).areas_px) == shape_hw[0] * shape_hw[1]
    for asked in (
        {"points": [(0.5, 0.5)]},
        {"box": (0, 0, shape_hw[1], shape_hw[0])},
        {"mask": np.ones(shape_hw, bool)},
    ):
        assert only(tile, **asked)[0, 0]


def test_a_tile_of_one_colour_is_one_object():
    tile = embed(np.full((3, 60, 40), 9, np.uint8))
    assert [box.tolist() for box in REGIONS.propose(tile, KeepRule()).boxes_xyxy] == [[0, 0, 40, 60]]
    assert only(tile, points=[(3, 3)]).all()
    assert only(tile, box=(10, 10, 20, 20)).sum() > 0


def test_a_tile_without_valid_pixels_has_no_objects():
    tile = embed(np.zeros((3, 20, 30), np.uint8), np.zeros((20, 30), bool))
    assert len(REGIONS.propose(tile, KeepRule())) == 0
    assert len(ask(tile, points=[(3, 3)])) == len(ask(tile, box=(0, 0, 9, 9))) == 0


def digest():
    """Of the embedding, the proposals and answers for a fixed picture."""
    rgb, valid = random_tile(3)
    tile = embed(rgb, valid)
    state = hashlib.sha256()
    for name in sorted(tile.arrays):
        state.update(tile.arrays[name].tobytes())
    state.update(REGIONS.propose(tile, KeepRule()).to_bytes())
    state.update(ask(tile, points=[(9, 9)], multimask=True).to_bytes())
    state.update(ask(tile, box=(3, 4, 17, 19)).to_bytes())
    return state.hexdigest()


def test_results_are_the_same_in_another_process():
    folders = [str(folder) for folder in Path(__file__).parents[:3]]  # this one, and that of `known_answers`
    code = f"import sys; sys.path[:0] = {folders!r}; import test_regions as t; print(t.digest())"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert again.stdout.strip() == digest()


def test_segmenter_and_embedding_survive_pickling(embedding):
    segmenter, copy = pickle.loads(pickle.dumps((REGIONS, embedding)))  # noqa: S301 our own bytes
    assert segmenter == REGIONS
    assert segmenter.propose(copy, KeepRule()).to_bytes() == REGIONS.propose(embedding, KeepRule()).to_bytes()


def test_tiles_of_a_batch_do_not_influence_each_other():
    one, two = yard(1), yard(2)[:, ::-1]
    valid = np.ones((2, HEIGHT, WIDTH), bool)
    batch = REGIONS.embed(np.stack([one, two]), valid)
    for tile, alone in zip(batch, (embed(one), embed(two)), strict=True):
        assert all(np.array_equal(tile.arrays[name], alone.arrays[name]) for name in alone.arrays)


def test_another_stretch_of_the_same_picture_gives_the_same_objects(embedding):
    duller = embed((yard() * 0.7 + 20).astype(np.uint8))
    for asked in ({"points": [(50, 60)]}, {"box": bounds(ROOF)}, {"box": bounds(DISC)}):
        assert iou(only(embedding, **asked), only(duller, **asked)) > 0.95


@pytest.fixture(scope="module")
def kampala(data_dir):
    """A tile of the orthophoto and the roofs that lie in it: (embedding, list of masks)."""
    folder = data_dir / "georef" / "buildings_kampala_0"
    window = rasterio.windows.Window(0, 512, 1024, 1024)
    with rasterio.open(folder / "image.tif") as ds:
        rgb, transform, crs = ds.read(window=window), ds.transform @ Affine.translation(0, 512), ds.crs
    (x0, y1), (x1, y0) = transform @ (0, 0), transform @ (1024, 1024)
    tile = shapely.box(x0, y0, x1, y1)
    roofs = read_file(folder / "labels.gpkg").to_crs(crs)
    inside = roofs.geometry[roofs.within(tile)]
    masks = [rasterize([roof], out_shape=(1024, 1024), transform=transform).astype(bool) for roof in inside]
    return embed(rgb), masks


def test_boxes_around_real_roofs_give_the_roofs(kampala):
    tile, masks = kampala
    assert len(masks) > 10
    assert np.mean([iou(only(tile, box=bounds(mask)), mask) for mask in masks]) > 0.8


def test_one_click_on_real_roofs_beats_the_box_of_the_roof_half_of_the_time(kampala):
    tile, masks = kampala
    found = []
    for mask in masks:
        depth = ndimage.distance_transform_edt(mask)
        row, col = np.unravel_index(depth.argmax(), depth.shape)
        found.append(iou(only(tile, points=[(col + 0.5, row + 0.5)]), mask))
    assert np.mean(found) > 0.55


def test_an_embedding_of_a_tile_is_small(kampala):
    tile, _ = kampala
    assert sum(array.nbytes for array in tile.arrays.values()) < 10e6
