from dataclasses import dataclass, field

import geopandas
import numpy as np
import pytest
import shapely
from known_answers import RefiningSegmenter
from scenes import SCENES, write_scene
from scipy import ndimage
from shapely.affinity import scale

from geosam.geometry.geobox import Window
from geosam.objects.windows import WindowRule
from geosam.run.options import RunOptions
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
from geosam.training import quality
from geosam.training.quality import MODES, measure, pooled, quick_iou
from geosam.training.samples import LabelledPicture

GROUND = (40, 90, 60)
#: Rows and columns of rectangles that do not touch, in a picture of 90 x 120 pixels.
BLOCKS = ((4, 20, 8, 40), (30, 78, 10, 30), (40, 60, 50, 61), (8, 12, 90, 118))


def flat(shape, blocks):
    """A picture (3, H, W) of rectangles (row, row end, column, column end) in different colours."""
    picture = np.empty((3, *shape), np.uint8)
    picture[:] = np.reshape(GROUND, (3, 1, 1))
    for number, (row, row_end, col, col_end) in enumerate(blocks):
        picture[:, row:row_end, col:col_end] = np.reshape((200, 10 + 7 * number, 240 - 5 * number), (3, 1, 1))
    return picture


def rectangle(row, row_end, col, col_end):
    return shapely.box(col, row, col_end, row_end)


def write_labels(path, scene, pixel_polygons, crs=None):
    """Polygons in pixels of a scene as a layer."""
    geobox = open_scene(scene).geobox
    placed = shapely.transform(np.array(pixel_polygons, object), geobox.to_map)
    frame = geopandas.GeoDataFrame(geometry=placed, crs=geobox.crs)
    (frame if crs is None else frame.to_crs(crs)).to_file(path)
    return path


@pytest.fixture
def blocks(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", flat((90, 120), BLOCKS), photometric="rgb")
    return scene, write_labels(tmp_path / "labels.gpkg", scene, [rectangle(*block) for block in BLOCKS])


@dataclass(frozen=True)
class Counting(ThresholdSegmenter):
    """Remembers how often it was shown a picture, and which prompts it was given."""

    shown: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def embed(self, rgb, valid):
        self.shown.extend(valid.shape[1:] for _ in rgb)
        return super().embed(rgb, valid)

    def decode(self, embedding, prompts, *, multimask, keep):
        self.asked.append((prompts, multimask))
        return super().decode(embedding, prompts, multimask=multimask, keep=keep)


@pytest.mark.parametrize("kind", ["north_up", "south_up", "rotated", "geographic", "non_square_pixels"])
def test_an_exact_segmenter_is_perfect_on_every_grid(tmp_path, kind):
    scene = SCENES[kind](tmp_path, flat((90, 120), BLOCKS))
    labels = write_labels(tmp_path / "labels.gpkg", scene, [rectangle(*block) for block in BLOCKS])
    found = measure(ThresholdSegmenter(), scene, labels)
    assert {mode: values.tolist() for mode, values in found.ious.items()} == dict.fromkeys(MODES, [1.0] * len(BLOCKS))
    assert (found.objects, found.left_out, found.recall()) == (len(BLOCKS), 0, 1.0)


def test_objects_of_many_windows_are_found_whole_and_in_the_order_of_the_labels(tmp_path):
    blocks = ((1200, 1260, 1500, 1600), (100, 160, 30, 1650), (300, 500, 300, 420))
    scene = write_scene(tmp_path / "scene.tif", flat((1300, 1700), blocks), photometric="rgb")
    halves = [rectangle(*blocks[0]), rectangle(*blocks[1]), rectangle(300, 400, 300, 420)]
    found = measure(ThresholdSegmenter(), scene, write_labels(tmp_path / "labels.gpkg", scene, halves))
    for mode in ("click", "box", "everything"):
        assert found.ious[mode].tolist() == [1.0, 1.0, 0.5]


def test_labels_may_be_in_another_crs(tmp_path, blocks):
    labels = write_labels(tmp_path / "degrees.geojson", blocks[0], [rectangle(*block) for block in BLOCKS], "EPSG:4326")
    assert measure(ThresholdSegmenter(), blocks[0], labels, modes=["box"]).mean("box") == 1


def test_an_object_without_an_answer_counts_nothing(blocks):
    @dataclass(frozen=True)
    class Blind(ThresholdSegmenter):
        def decode(self, embedding, prompts, *, multimask, keep):
            found = super().decode(embedding, prompts, multimask=multimask, keep=keep)
            return found.select(found.prompt_index != 1)

        def propose(self, embedding, keep):
            return super().propose(embedding, keep).select(np.zeros(0, int))

    found = measure(Blind(), *blocks)
    assert sorted(found.ious["box"]) == sorted(found.ious["click"]) == [0, 1, 1, 1]
    assert found.ious["everything"].tolist() == [0] * 4
    assert found.recall() == 0


def test_clicks_are_given_in_steps_and_go_on_from_the_answer_before(tmp_path):
    """The first answer is both halves and all around; the second click excludes that, and the halves stay."""
    halves = ((20, 60, 20, 60), (20, 60, 60, 80))
    scene = write_scene(tmp_path / "scene.tif", flat((120, 160), halves), photometric="rgb")
    labels = write_labels(tmp_path / "labels.gpkg", scene, [rectangle(20, 60, 20, 80)])
    found = measure(RefiningSegmenter(), scene, labels, modes=["click", "three_clicks"])
    assert found.ious["click"].tolist() == [40 * 60 / (120 * 160)]
    assert found.ious["three_clicks"].tolist() == [1]


def test_a_right_answer_gets_no_more_clicks(blocks):
    counting = Counting()
    measure(counting, *blocks, modes=["three_clicks"])
    assert {len(labels) for prompts, _ in counting.asked for labels in prompts.labels} == {1}


def test_each_next_click_is_at_the_innermost_point_of_the_largest_error(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", flat((90, 120), [(10, 50, 10, 60)]), photometric="rgb")
    labels = write_labels(tmp_path / "labels.gpkg", scene, [rectangle(10, 50, 10, 30)])
    counting = Counting()
    measure(counting, scene, labels, modes=["three_clicks"])
    points = max((prompts.points[0].tolist() for prompts, _ in counting.asked), key=len)
    error = np.zeros((90, 120), bool)
    error[10:50, 30:60] = True
    depth = ndimage.distance_transform_edt(error)
    assert depth[int(points[1][1]), int(points[1][0])] == depth.max()
    # Two clicks in one object of equal colour, one of them excluding: nothing is left, and all of it is missed.
    assert points[2] == points[0]


def test_a_window_is_looked_at_once_for_all_prompts(blocks, monkeypatch):
    monkeypatch.setattr(quality, "_OBJECTS", 2)
    counting = Counting()
    measure(counting, *blocks, modes=["click", "box", "three_clicks"])
    assert counting.shown == [(90, 120)]


def test_windows_are_those_of_the_product(tmp_path):
    """Native resolution, 1024 px, on the lattice of quarter tiles: nothing is centred on the object."""
    blocks = ((700, 740, 900, 950),)
    scene = write_scene(tmp_path / "scene.tif", flat((1500, 2100), blocks), photometric="rgb")
    labels = write_labels(tmp_path / "labels.gpkg", scene, [rectangle(*blocks[0])])
    counting = Counting()
    measure(counting, scene, labels, modes=["click"])
    window = WindowRule(Window(0, 0, 2100, 1500)).first_window((920, 720, 920, 720))
    assert counting.shown == [(1024, 1024)]
    assert (counting.asked[0][0].points[0] + (window.col_off, window.row_off)).tolist() == [[919.5, 719.5]]


def test_a_model_may_be_shown_other_windows_and_objects_grow_across_them(blocks):
    counting = Counting()
    found = measure(counting, *blocks, options=RunOptions(tile_size=32, overlap=8))
    assert set(counting.shown) == {(32, 32)}
    assert {mode: values.tolist() for mode, values in found.ious.items()} == dict.fromkeys(MODES, [1.0] * len(BLOCKS))


def test_what_is_too_small_or_not_in_the_valid_scene_is_left_out_and_counted(tmp_path):
    picture = flat((90, 120), BLOCKS)
    picture[:, :, 100:] = 0
    scene = write_scene(tmp_path / "scene.tif", picture, nodata=0, photometric="rgb")
    drawn = [
        rectangle(4, 20, 8, 40),
        rectangle(50, 54, 50, 56),  # 24 pixels
        rectangle(8, 12, 94, 118),  # a quarter of it on valid pixels
        rectangle(8, 12, 92, 106),  # more than half
        rectangle(-40, -10, 8, 40),
    ]
    found = measure(ThresholdSegmenter(), scene, write_labels(tmp_path / "labels.gpkg", scene, drawn), modes=["box"])
    assert (found.objects, found.left_out) == (2, 3)
    assert found.ious["box"].tolist() == [1, 0.8]


def test_a_limit_takes_the_same_objects_every_time(blocks):
    by_default, again = (measure(ThresholdSegmenter(), *blocks, modes=["box"], limit=2) for _ in range(2))
    assert by_default.objects == again.objects == 2
    everything = measure(ThresholdSegmenter(), *blocks, modes=["everything"], limit=2, rng=np.random.default_rng(1))
    assert everything.ious["everything"].tolist() == [1, 1]
    assert measure(ThresholdSegmenter(), *blocks, modes=["box"], limit=9).objects == 4


def test_labels_of_none_of_the_scene_give_no_figure(tmp_path, blocks):
    labels = write_labels(tmp_path / "small.gpkg", blocks[0], [scale(rectangle(*BLOCKS[0]), 0.01, 0.01)])
    found = measure(ThresholdSegmenter(), blocks[0], labels)
    assert (found.objects, found.left_out) == (0, 1)
    assert np.isnan([found.mean(mode) for mode in MODES]).all()


def test_pooled_objects_count_alike(blocks):
    one, two = (measure(ThresholdSegmenter(), *blocks, modes=["box"], limit=limit) for limit in (1, 3))
    both = pooled([one, two])
    assert (both.objects, both.left_out, both.mean("box")) == (4, 0, 1)
    assert both.prompts_s == one.prompts_s + two.prompts_s


def pictured(shape, blocks, labelled=None):
    instances = np.zeros(shape, np.int32)
    for number, (row, row_end, col, col_end) in enumerate(blocks if labelled is None else labelled, start=1):
        instances[row:row_end, col:col_end] = number
    everywhere = np.ones(shape, bool)
    return LabelledPicture("flat", flat(shape, blocks), everywhere, instances, everywhere, 1.0)


@dataclass(frozen=True)
class Padded(Counting):
    """Wants pictures of 1024 pixels."""

    @property
    def spec(self):
        return type(super().spec)("padded", "padded-1", input_size=1024)


def test_a_quick_look_at_an_exact_segmenter_is_perfect():
    picture = pictured((90, 120), BLOCKS)
    assert quick_iou(ThresholdSegmenter(), [picture, picture]) == (1, 1, 8)
    counting = Padded()
    assert quick_iou(counting, [picture]) == (1, 1, 4)
    assert counting.shown == [(1024, 1024)]


def test_a_quick_look_measures_the_best_of_the_masks():
    """The best mask of a click is the object with all around it, that of a box the object alone."""
    blocks = ((20, 60, 20, 60),)
    found = quick_iou(RefiningSegmenter(), [pictured((120, 160), blocks)])
    assert found == (40 * 40 / (120 * 160), 1, 1)


def test_a_quick_look_takes_the_fullest_windows_and_objects_wholly_in_them():
    few, cut = (50, 90, 60, 90), (10, 40, 900, 1100)
    many = ((30, 60, 1200, 1300), (100, 160, 1200, 1300), (200, 203, 1200, 1208))
    picture = pictured((300, 2200), (few, cut, *many))
    counting = Counting()
    assert quick_iou(counting, [picture]) == (1, 1, 2)
    assert counting.shown == [(300, 1024)]
    assert quick_iou(ThresholdSegmenter(), [picture], windows=9).objects == 3


def test_nothing_to_look_at_gives_no_figure():
    found = quick_iou(ThresholdSegmenter(), [pictured((90, 120), BLOCKS, ())])
    assert np.isnan(found[:2]).all()
    assert found.objects == 0


def test_the_recall_is_the_share_of_objects_that_reach_an_iou():
    found = quality.Quality({"click": np.array([0.2, 0.5, 0.9]), "everything": np.array([0.4, 0.6, 1.0])}, 2)
    assert found.objects == 3
    assert found.recall() == pytest.approx(2 / 3)
    assert found.recall("click", 0.9) == pytest.approx(1 / 3)
    assert found.mean("click") == pytest.approx(1.6 / 3)


def test_a_measurement_without_modes_has_no_objects():
    assert quality.Quality({}, 0).objects == 0


def test_embeddings_are_kept_up_to_a_size_the_last_used_longest(monkeypatch):
    monkeypatch.setattr(quality, "_EMBEDDING_BYTES", 2 * 20 * 20 * 4 + 10)
    counting = Counting()
    cached = quality._CachedSegmenter(counting)
    pictures = [np.full((1, 3, 20, 20), value, np.uint8) for value in (10, 90, 200)]
    valid = np.ones((1, 20, 20), bool)
    size = quality._size(cached.embed(pictures[0], valid)[0])
    monkeypatch.setattr(quality, "_EMBEDDING_BYTES", 2 * size)
    for number in (1, 0, 2, 0, 1):
        cached.embed(pictures[number], valid)
    assert len(counting.shown) == 4, "the second picture was forgotten when the third came, not the first"
    assert cached.spec == counting.spec


def test_pictures_that_differ_in_valid_pixels_alone_are_two():
    counting = Counting()
    cached = quality._CachedSegmenter(counting)
    picture, valid = np.full((1, 3, 20, 20), 50, np.uint8), np.ones((1, 20, 20), bool)
    for some in (valid, valid, ~valid):
        cached.embed(picture, some)
    assert len(counting.shown) == 2


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(1000, 1000, 20, 10), Window(488, 488, 1044, 1034)),
        (Window(0, 0, 20, 10), Window(0, 0, 532, 522)),
        (Window(2980, 1990, 20, 10), Window(2468, 1478, 532, 522)),
    ],
    ids=["inside", "upper left", "lower right"],
)
def test_a_user_sees_half_a_thousand_pixels_around_an_object(window, expected):
    assert quality._surroundings(window, Window(0, 0, 3000, 2000)) == expected


def test_regions_find_fields_of_a_held_out_scene(data_dir):
    fields = data_dir / "georef" / "fields_naip" / "naip_42.6575_-90.0795"
    found = measure(load_segmenter("regions"), f"{fields}.tif", f"{fields}.geojson", modes=["click", "box"], limit=12)
    assert found.objects == 12
    assert 0.3 < found.mean("click") < found.mean("box") < 0.95
