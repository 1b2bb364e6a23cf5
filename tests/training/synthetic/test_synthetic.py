import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Point

from geosam.training.synthetic import pictures as drawn
from geosam.training.synthetic import render
from geosam.training.synthetic.canvas import Canvas, Frame, Sun
from geosam.training.synthetic.fields import split_pieces
from geosam.training.synthetic.foundations import foundation
from geosam.training.synthetic.palette import draw_land
from geosam.training.synthetic.roofs import Roof, Wing, building

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=8, deadline=None)


def canvas_of(size=96, gsd=0.2, seed=0):
    return Canvas(size, gsd, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def pictures():
    return [render(np.random.default_rng(seed), 256) for seed in range(20)]


@FEW
@given(SEEDS, st.integers(64, 200))
def test_a_picture_is_what_its_type_promises(seed, size):
    picture = render(np.random.default_rng(seed), size)
    assert picture.rgb.shape == (3, size, size)
    assert (picture.rgb.dtype, picture.instances.dtype) == (np.uint8, np.int32)
    assert {array.shape for array in (picture.valid, picture.instances, picture.complete)} == {(size, size)}
    assert (picture.valid.dtype, picture.complete.dtype) == (bool, bool)
    assert picture.complete.all()
    assert 0.05 <= picture.gsd <= 10
    assert len(picture.boxes) == len(picture.points) == 0


@FEW
@given(SEEDS)
def test_pixels_are_black_without_objects_where_nothing_was_imaged_and_nowhere_else(seed):
    picture = render(np.random.default_rng(seed), 128)
    assert np.array_equal((picture.rgb == 0).all(axis=0), ~picture.valid)
    assert not picture.instances[~picture.valid].any()


def test_some_pictures_have_a_border_that_was_not_imaged():
    valid = np.stack([drawn._imaged(64, np.random.default_rng(seed)) for seed in range(200)])
    shares = valid.mean(axis=(1, 2))
    assert 0.8 < (shares == 1).mean() < 1
    assert shares.min() > 0.4


@FEW
@given(SEEDS)
def test_objects_are_numbered_without_gaps_and_large_enough_to_be_seen(seed):
    picture = render(np.random.default_rng(seed), 160)
    numbers, sizes = np.unique(picture.instances, return_counts=True)
    sizes = sizes[numbers > 0]
    assert np.array_equal(numbers[numbers > 0], np.arange(1, len(sizes) + 1))
    assert (sizes >= drawn.LEAST_PIXELS).all()


@FEW
@given(SEEDS)
def test_a_seed_gives_one_picture(seed):
    one, other = (render(np.random.default_rng(seed), 96) for _ in range(2))
    for name in ("rgb", "valid", "instances", "complete"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.name, one.gsd) == (other.name, other.gsd)


def test_seeds_give_different_pictures_of_every_kind(pictures):
    assert len({picture.rgb.tobytes() for picture in pictures}) == len(pictures)
    assert {picture.name for picture in pictures} == {f"synthetic {kind}" for kind in drawn._KINDS}


def test_objects_of_all_sizes_are_seen(pictures):
    sizes = np.concatenate([np.bincount(picture.instances.ravel())[1:] for picture in pictures])
    assert sizes.min() < 100
    assert sizes.max() > 0.3 * 256**2
    assert len(sizes) > 10 * len(pictures)


def test_pictures_are_neither_flat_nor_burnt_out(pictures):
    for picture in pictures:
        seen = picture.rgb[:, picture.valid]
        assert 4 < seen.mean(axis=0).std() < 90, picture.name
        assert (seen == 255).mean() < 0.25, picture.name


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_what_was_painted_last(seed, monkeypatch):
    """Every stroke is kept as it is made; laid over each other again they give the same outlines."""
    strokes, splits, finished = [], [], []
    paint, cast, split = Canvas.paint, Canvas.cast_shadows, split_pieces

    def kept(self, patch, alpha, colour, *, height=0.0, number=0):
        if number is not None:
            strokes.append((patch.place, alpha >= 0.5, number))
        paint(self, patch, alpha, colour, height=height, number=number)

    def noted(canvas):
        split(canvas)
        splits.append((len(strokes), canvas.instances.copy()))

    def ended(self):
        finished.append(self.instances.copy())
        cast(self)

    monkeypatch.setattr(Canvas, "paint", kept)
    monkeypatch.setattr(Canvas, "cast_shadows", ended)
    monkeypatch.setattr("geosam.training.synthetic.fields.split_pieces", noted)
    picture = render(np.random.default_rng(seed), 128)
    start, replayed = splits[0] if splits else (0, np.zeros((128, 128), np.int32))
    for place, inside, number in strokes[start:]:
        replayed[place][inside] = number
    assert np.array_equal(replayed, finished[0])
    kept_pixels = picture.instances > 0
    pairs = np.unique(np.stack([picture.instances[kept_pixels], replayed[kept_pixels]]), axis=1)
    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))


@pytest.mark.parametrize("seed", range(6))
def test_an_object_hangs_together_when_it_is_painted(seed, monkeypatch):
    paint, loose = Canvas.paint, []

    def checked(self, patch, alpha, colour, *, height=0.0, number=0):
        paint(self, patch, alpha, colour, height=height, number=number)
        # at the picture's edge an outline may come and go: only what lies inside is looked at
        rows, columns = patch.place
        inner = min(rows.start, columns.start) > 0 and max(rows.stop, columns.stop) < self.size
        if number and inner and (alpha >= 0.5).sum() >= drawn.LEAST_PIXELS:
            pieces, _ = ndimage.label(alpha >= 0.5)
            sizes = np.bincount(pieces.ravel())[1:]
            loose.append(1 - sizes.max() / sizes.sum())

    monkeypatch.setattr(Canvas, "paint", checked)
    render(np.random.default_rng(seed), 256)
    assert max(loose, default=0) < 0.1
    assert np.median(loose or [0]) == 0


@pytest.mark.parametrize(
    "shape",
    [
        Frame(20.3, 17.8, 0.4).box(0, 0, 9.2, 5.1),
        Point(20, 18).buffer(8, quad_segs=2),
        Point(20, 18).buffer(11).difference(Point(22, 18).buffer(5)),
        shapely.Polygon([(3, 3), (30, 5), (12, 12), (9, 33)]),
        shapely.MultiPolygon([shapely.box(2, 2, 6, 6), shapely.box(20, 20, 26, 30)]),
    ],
    ids=["turned box", "octagon", "ring", "arrow", "two boxes"],
)
def test_coverage_is_the_share_of_a_pixel(shape):
    canvas = canvas_of(40)
    fine = 25
    counted = rasterize([shapely.affinity.scale(shape, fine, fine, origin=(0, 0))], (40 * fine, 40 * fine))
    expected = counted.reshape(40, fine, 40, fine).mean(axis=(1, 3))
    found = canvas.coverage(canvas.whole(), shape)
    assert np.abs(found - expected).max() < 0.3
    assert found.sum() == pytest.approx(shape.area, rel=0.03)


def test_noise_has_the_asked_grain():
    canvas = canvas_of(256)
    fine, coarse = (canvas.noise(canvas.whole(), *grain) for grain in ((2, 4), (60, 90)))
    for field in (fine, coarse):
        assert 0.6 < field.std() < 1.4
    step = [np.abs(np.diff(field, axis=1)).mean() for field in (fine, coarse)]
    assert step[0] > 5 * step[1]


def test_a_thing_throws_its_shadow_away_from_the_sun_and_no_farther_than_it_is_high():
    canvas = canvas_of(100)
    canvas.sun = Sun(-1.0, 0.0, 1.5, (0.5, 0.5, 0.5), 0.5)  # in the west, so that the shadow goes right
    canvas.rgb[:] = 100
    canvas.fill(shapely.box(30, 40, 40, 60), (200, 200, 200), height=20)
    canvas.cast_shadows()
    dark = canvas.rgb[50, :, 0] < 75
    assert not dark[:40].any()
    assert dark[41:66].all()
    assert not dark[72:].any()
    assert canvas.rgb[50, 35, 0] == pytest.approx(200)
    assert not (canvas.rgb[:38] < 99).any()


def test_slopes_towards_the_sun_are_lighter():
    canvas = canvas_of()
    rising_to_the_sun = canvas.light(canvas.sun.x * 0.4, canvas.sun.y * 0.4)
    assert canvas.light(-canvas.sun.x * 0.4, -canvas.sun.y * 0.4) > canvas.light(0, 0) > rising_to_the_sun
    assert canvas.light(0, 0) == pytest.approx(1)


@pytest.mark.parametrize("form", ["flat", "shed", "gable", "hip"])
def test_a_house_is_its_walls_outline_and_another_does_not_stand_on_it(form):
    canvas = canvas_of(120)
    canvas.lean = np.zeros(2)
    frame, wings = Frame(60, 58, 0.3), [Wing(0, 10, 30, 10), Wing(-20, 0, 10, 25)]
    roof = Roof(form, "metal", np.array((150, 150, 150), np.float32), 0.3, 12.0)
    assert building(canvas, frame, wings, roof)
    outline = shapely.union_all([frame.box(*wing) for wing in wings])
    assert (canvas.instances == 1).sum() == pytest.approx(outline.area, rel=0.02)
    assert np.array_equal(canvas.instances > 0, canvas.height > 0)
    assert canvas.height.max() < 12 + 0.3 * 60 + 2.5 / canvas.gsd
    assert not building(canvas, frame, [Wing(5, 5, 8, 8)], roof)
    assert canvas.instances.max() == 1


def test_the_court_of_a_house_is_no_part_of_it():
    canvas = canvas_of()
    roof = Roof("flat", "concrete", np.array((150, 150, 150), np.float32), 0.0, 5.0)
    assert building(canvas, Frame(48, 48, 0), [Wing(0, 0, 30, 30)], roof, Wing(0, 0, 10, 10))
    assert not canvas.instances[40:56, 40:56].any()
    assert canvas.instances[30, 48] == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_building_without_a_roof_is_one_object_with_its_rooms_and_its_walls_stand_on_its_rim(seed):
    canvas = canvas_of(120, gsd=0.1, seed=seed)
    land = draw_land(canvas.rng)
    frame, wings = Frame(60, 58, 0.3), [Wing(0, 12, 36, 20), Wing(-20, 0, 16, 32)]
    assert foundation(canvas, land, frame, wings)
    outline = shapely.union_all([frame.box(*wing) for wing in wings])
    assert canvas.instances.max() == 1
    assert (canvas.instances == 1).sum() == pytest.approx(outline.area, rel=0.02)
    assert 0.02 < (canvas.height > 0).sum() / outline.area < 0.8
    rim = shapely.points(np.argwhere(canvas.height > 0)[:, ::-1] + 0.5)
    assert shapely.distance(rim, outline.exterior).min() < 1
    assert shapely.distance(rim, outline).max() < 1
    assert not foundation(canvas, land, frame, [Wing(5, 5, 8, 8)])


def test_some_towns_have_buildings_without_a_roof(monkeypatch):
    built = []
    monkeypatch.setattr("geosam.training.synthetic.towns.foundation", lambda *given: built.append(given) or True)
    for seed in range(30):
        render(np.random.default_rng(seed), 128)
    assert built


def test_what_is_cut_in_two_gets_two_numbers():
    canvas = canvas_of(60)
    first, second = canvas.number(), canvas.number()
    canvas.fill(shapely.box(5, 5, 55, 25), (90, 120, 60), number=first)
    canvas.fill(shapely.box(5, 30, 55, 55), (90, 120, 60), number=second)
    canvas.fill(shapely.box(28, 0, 32, 27), (150, 150, 150))
    split_pieces(canvas)
    left, right, below = canvas.instances[15, 10], canvas.instances[15, 50], canvas.instances[40, 30]
    assert len({left, right, below, 0}) == 4
    assert below == second
    assert (canvas.instances == left).sum() == 20 * 23


def test_marks_on_a_thing_do_not_change_its_outline():
    canvas = canvas_of(40)
    canvas.fill(shapely.box(5, 5, 35, 35), (90, 90, 90), height=4, number=canvas.number())
    before = canvas.instances.copy(), canvas.height.copy()
    canvas.fill(shapely.box(10, 10, 50, 20), (200, 200, 200), number=None)
    assert np.array_equal(canvas.instances, before[0])
    assert np.array_equal(canvas.height, before[1])
    assert canvas.rgb[15, 20, 0] == 200


@given(SEEDS)
def test_colours_of_a_region_are_colours(seed):
    for colour in draw_land(np.random.default_rng(seed)):
        assert colour.shape == (3,)
        assert 0 < colour.min() <= colour.max() < 255


def test_a_frame_and_its_axes_agree():
    canvas, frame = canvas_of(50), Frame(12.0, 30.0, math.radians(35))
    u, v = frame.axes(canvas.whole())
    x, y = frame.at(float(u[20, 33]), float(v[20, 33]))
    assert (x, y) == pytest.approx((33.5, 20.5), abs=1e-3)
