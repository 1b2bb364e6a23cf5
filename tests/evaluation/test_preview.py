import errno
import itertools

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image
from pyproj import Transformer
from rasterio.features import rasterize
from shapely.geometry import Polygon, box

import geosam
from geosam.errors import DiskFull, ExportError, OutputExists, PromptError, UnknownFormat, UsageError
from geosam.evaluation.preview import _INVALID, COLOURS, _colours, _scale_bar
from geosam.scene import open_scene
from tests.scenes import NORTH_UP, SCENES, UTM, write_scene

SIDE = 400
RING = Polygon([(30, 20), (70, 25), (66, 60), (25, 55)], [[(42, 35), (55, 35), (55, 48), (42, 48)]])


def preview(scene, polygons, out, *, max_side=1600, **options):
    """Draw and write a picture; returns its path."""
    geosam.preview(scene, polygons, out, size=max_side, **options)
    return out


def grey(width=100, height=80, value=120):
    return np.full((3, height, width), value, np.uint8)


def layer(path, geobox, polygons, crs=None, **columns):
    """Polygons given in scene pixels, written in a CRS (the scene's)."""
    placed = [shapely.transform(p, geobox.to_map) for p in polygons]
    table = gpd.GeoDataFrame(columns, geometry=placed, crs=geobox.crs)
    table = table.to_crs(crs) if crs else table
    table.to_file(path)
    return path


def drawn(tmp_path, scene, polygons, *, name="out.png", crs=None, side=SIDE, **columns):
    """The picture of the polygons without its legend, (H, W, 3) integers."""
    path = layer(tmp_path / f"{name}.gpkg", scene.geobox, polygons, crs, **columns)
    return without_legend(read(preview(scene, path, tmp_path / name, max_side=side, overwrite=True)))


def read(path):
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image, int)


def without_legend(image):
    """The picture above the legend, without the margins at its sides."""
    picture = image[:-44]  # four lines of the smallest type, which pictures below 1,000 px have
    return picture[:, ~(picture == (24, 26, 30)).all(axis=(0, 2))]


def painted(tmp_path, scene, polygons, **options):
    """Where the polygons changed the picture, (H, W)."""
    with_them = drawn(tmp_path, scene, polygons, **options)
    return np.abs(with_them - drawn(tmp_path, scene, [], name="bare.png", **options)).max(axis=2) > 4


def expected(polygons, shape_hw, across, down):
    """Where rasterio would burn the polygons of scene pixels, `across` x `down` picture pixels a scene pixel.

    Two masks (H, W): what must be painted, and what may be, outlines and rounding included.
    """
    grown = ([p.buffer(pixels / across) for p in polygons] for pixels in (-3, 4.5))
    shapes = ([p for p in some if not p.is_empty] for some in grown)
    to_scene = Affine.scale(1 / across, 1 / down)
    return [rasterize(some, shape_hw, transform=to_scene, dtype="u1") > 0 for some in shapes]


PLAIN = [
    "north_up",
    "south_up",
    "east_west_flipped",
    "rotated",
    "sheared",
    "geographic",
    "single_band",
    "four_band_uint16",
]


@pytest.mark.fault("R16", "R17", "R18")
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("crs", [None, 4326, 3857], ids=str)
def test_polygons_lie_where_they_belong_on_every_grid_and_in_every_crs(tmp_path, name, crs):
    scene = open_scene(SCENES[name](tmp_path, grey()))
    found = painted(tmp_path, scene, [RING], crs=crs)
    ground = scene.gsd_xy[1] * scene.geobox.height / (scene.gsd_xy[0] * scene.geobox.width)
    assert found.shape[0] / found.shape[1] == pytest.approx(ground, rel=0.02)
    assert SIDE * 0.75 <= max(found.shape) <= SIDE
    must, may = expected([RING], found.shape, found.shape[1] / 100, found.shape[0] / 80)
    assert (must <= found).all()
    assert (found <= may).all()


def test_non_square_pixels_are_square_on_the_ground(tmp_path):
    scene = open_scene(SCENES["non_square_pixels"](tmp_path, grey()))
    picture = drawn(tmp_path, scene, [])
    assert picture.shape[1] / picture.shape[0] == pytest.approx(100 * 0.5 / (80 * 0.3), rel=0.02)


def test_holes_stay_open_and_fills_let_the_picture_through(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey()))
    picture = drawn(tmp_path, scene, [RING], id=[0])
    middle_of_hole, inside, outside = picture[165, 190], picture[115, 200], picture[10, 10]
    assert middle_of_hole.tolist() == outside.tolist()
    mixed = 120 + (np.array(COLOURS[0]) - 120) * 88 / 255
    assert np.abs(inside - mixed).max() <= 2


def test_what_lies_in_a_hole_is_painted_too(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey()))
    inner = box(45, 38, 52, 45)
    found = painted(tmp_path, scene, [RING, inner])
    assert found[166, 194]


def test_outlines_are_smooth_and_of_the_colour_of_their_polygon(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey()))
    picture = drawn(tmp_path, scene, [box(20, 20, 80, 60)], id=[0])
    assert np.abs(picture[160, 78:83] - COLOURS[0]).max(axis=1).min() <= 50
    disc = shapely.Point(50, 40).buffer(30)
    levels = len(np.unique(drawn(tmp_path, scene, [disc], name="disc.png")[..., 2]))
    assert levels > 20


def test_polygons_across_the_bands_of_the_painter_have_no_seam(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey(50, 100)))
    picture = drawn(tmp_path, scene, [box(10, -20, 40, 130)], side=1000)
    column = picture[:, 250]
    assert (column == column[0]).all()


def test_neighbours_differ_in_colour():
    cells = [box(x, y, x + 10, y + 10) for x, y in itertools.product(range(0, 200, 10), range(0, 200, 10))]
    chosen = _colours(np.array(cells), np.random.default_rng(1).permutation(len(cells)))
    edges = shapely.STRtree(cells).query(cells, predicate="intersects").T
    sharing = [(a, b) for a, b in edges if a < b and cells[a].intersection(cells[b]).length > 0]
    assert len(sharing) == 2 * 20 * 19
    assert not [pair for pair in sharing if chosen[pair[0]] == chosen[pair[1]]]


def test_colours_are_stable_under_reordering_and_distant_changes():
    cells = np.array([box(x, 0, x + 10, 10) for x in range(0, 300, 11)])
    ids = np.arange(len(cells))
    chosen = dict(zip(ids.tolist(), _colours(cells, ids), strict=True))
    order = np.random.default_rng(0).permutation(len(cells))
    assert dict(zip(ids[order].tolist(), _colours(cells[order], ids[order]), strict=True)) == chosen
    fewer = dict(zip(ids[:20].tolist(), _colours(cells[:20], ids[:20]), strict=True))
    assert fewer == {name: chosen[name] for name in range(20)}


def test_a_background_with_thousands_of_corners_does_not_slow_the_choice_of_colours():
    cells = [box(x, y, x + 5, y + 5) for x, y in itertools.product(range(0, 400, 10), range(0, 400, 10))]
    background = box(-10, -10, 500, 500).difference(shapely.union_all(cells))
    assert len(_colours(np.array([background, *cells]), np.arange(len(cells) + 1))) == len(cells) + 1


def test_nodata_is_shown_as_nothing(tmp_path):
    scene = open_scene(SCENES["nodata"](tmp_path, grey()))
    picture = drawn(tmp_path, scene, [])
    assert (picture[:150, :190] == _INVALID).all()
    assert (picture[170:, 210:] == 120).all()


def test_the_stretch_of_the_scene_is_used(tmp_path):
    ramp = np.repeat(np.linspace(1000, 3000, 100).astype("u2")[None, None].repeat(80, axis=1), 3, axis=0)
    path = write_scene(tmp_path / "ramp.tif", ramp)
    picture = drawn(tmp_path, open_scene(path, stretch="2000,3000"), [])
    assert picture[40, 10].tolist() == [0, 0, 0]
    assert picture[40, -3].min() > 245


def test_only_the_region_is_shown(tmp_path):
    half = grey()
    half[:, :, 50:] = 200
    path = SCENES["north_up"](tmp_path, half)
    t = NORTH_UP
    scene = open_scene(path, window=(t.c + 25.0, t.f - 40, t.c + 50.0, t.f))
    picture = drawn(tmp_path, scene, [box(60, 10, 90, 30)], id=[0])
    assert (picture[5, 5:] == 200).all()
    assert (picture[100, 200] != 200).any()


def test_large_scenes_are_averaged_down_and_keep_their_place(tmp_path):
    checker = np.indices((1200, 1600)).sum(axis=0) % 2 * 200
    scene = open_scene(write_scene(tmp_path / "s.tif", np.repeat(checker[None], 3, axis=0).astype("u1"), tiled=True))
    assert np.abs(drawn(tmp_path, scene, []) - 100).max() <= 1
    target = box(160, 240, 800, 960)
    found = painted(tmp_path, scene, [target])
    must, may = expected([target], found.shape, SIDE / 1600, SIDE / 1600)
    assert (must <= found).all()
    assert (found <= may).all()


@pytest.mark.fault("R25")
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (3, 90), (500, 2)])
def test_tiny_and_narrow_scenes_have_a_picture(tmp_path, size):
    scene = open_scene(SCENES["north_up"](tmp_path, grey(*size)))
    path = layer(tmp_path / "a.gpkg", scene.geobox, [box(0, 0, *size)])
    assert 150 <= max(without_legend(read(preview(scene, path, tmp_path / "p.png", max_side=300))).shape) <= 300


def test_a_scene_at_another_resolution_is_shown_at_that_resolution_or_coarser(tmp_path):
    path = SCENES["north_up"](tmp_path, np.random.default_rng(0).integers(0, 255, (3, 80, 100), np.uint8))
    scene = open_scene(path, resolution=5.0)
    found = painted(tmp_path, scene, [box(3, 2, 7, 6)])
    assert found[160, 200]
    assert not found[20, 20]
    coarse = drawn(tmp_path, scene, [], name="coarse.png", side=5)
    assert max(coarse.shape[:2]) <= 6


@pytest.mark.parametrize(("metres", "label"), [(0.0004, "5 cm"), (0.2, "20 m"), (0.51, "100 m"), (30, "5 km")])
def test_the_scale_bar_is_round_and_true(metres, label):
    length, text = _scale_bar(200, metres)
    assert text == label
    unit = {"cm": 0.01, "m": 1, "km": 1000}[label.split()[1]]
    assert length * metres == pytest.approx(float(label.split()[0]) * unit, rel=0.01)


def test_the_legend_is_as_wide_as_it_needs_and_names_are_shortened(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey(10, 60)))
    path = layer(tmp_path / f"{'long' * 30}.gpkg", scene.geobox, [RING])
    image = read(preview(scene, path, tmp_path / "p.png", max_side=300))
    assert image.shape[1] >= 200
    edge = image[-40:, -8:]
    assert (edge == (24, 26, 30)).all()


# ---- refusals, files ----


@pytest.fixture
def given(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey()))
    return scene, layer(tmp_path / "a.gpkg", scene.geobox, [RING])


def refusal(kind, scene, polygons, out, **options):
    with pytest.raises(kind) as caught:
        preview(scene, polygons, out, **options)
    assert str(out) in str(caught.value)
    return caught.value


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name not in {"scene.tif", "a.gpkg"})


@pytest.mark.fault("O16")
def test_an_existing_picture_is_kept_unless_told_otherwise(given, tmp_path):
    out = tmp_path / "p.png"
    out.write_text("precious")
    assert refusal(OutputExists, *given, out).exit_code == 6
    assert out.read_text() == "precious"
    preview(*given, out, overwrite=True)
    assert without_legend(read(out)).any()
    assert leftovers(tmp_path) == ["p.png"]


@pytest.mark.fault("O21")
def test_a_missing_folder_is_refused_before_the_scene_is_read(given, tmp_path):
    scene, polygons = given
    assert refusal(ExportError, scene, polygons, tmp_path / "none" / "p.png").exit_code == 6


@pytest.mark.fault("O25")
def test_only_png_is_written(given, tmp_path):
    assert refusal(UnknownFormat, *given, tmp_path / "p.jpg").exit_code == 2
    assert refusal(UnknownFormat, *given, tmp_path / "p").exit_code == 2


@pytest.mark.fault("O27")
def test_a_link_keeps_pointing_to_its_target(given, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "p.png").symlink_to(tmp_path / "real" / "q.png")
    preview(*given, tmp_path / "p.png")
    assert (tmp_path / "p.png").is_symlink()
    assert read(tmp_path / "real" / "q.png").any()


@pytest.mark.fault("O28")
def test_the_picture_is_no_input(given, tmp_path):
    scene, polygons = given
    (tmp_path / "same.png").symlink_to(polygons)
    assert refusal(UsageError, scene, polygons, tmp_path / "same.png", overwrite=True).exit_code == 2


@pytest.mark.fault("O17", "O20")
@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EACCES, ExportError)])
def test_the_old_picture_survives_a_failed_write(given, tmp_path, monkeypatch, code, kind):
    out = tmp_path / "p.png"
    out.write_text("precious")

    def fail(*_, **__):
        raise OSError(code, "no luck")

    monkeypatch.setattr(Image.Image, "save", fail)
    refusal(kind, *given, out, overwrite=True)
    assert out.read_text() == "precious"
    assert leftovers(tmp_path) == ["p.png"]


def test_bad_polygons_leave_no_picture(given, tmp_path):
    scene, _ = given
    with pytest.raises(PromptError):
        preview(scene, tmp_path / "none.gpkg", tmp_path / "p.png")
    with pytest.raises(UsageError):
        preview(*given, tmp_path / "p.png", max_side=0)
    assert leftovers(tmp_path) == []


def test_the_input_is_left_as_it_was(given, tmp_path):
    _, polygons = given
    before = {p: p.read_bytes() for p in (tmp_path / "scene.tif", polygons)}
    preview(*given, tmp_path / "p.png")
    assert {p: p.read_bytes() for p in before} == before


# ---- real imagery ----


@pytest.mark.parametrize("name", ["rotated17.tif", "southup.tif", "uint16.tif", "epsg4326.tif"])
def test_real_grids_are_drawn_with_their_labels(tmp_path, data_dir, name):
    folder = data_dir / "georef" / "variants_kampala"
    scene = open_scene(folder / name)
    picture = without_legend(read(preview(scene, folder / "labels.gpkg", tmp_path / "p.png", max_side=600)))
    bare = drawn(tmp_path, scene, [], side=600)
    assert picture.shape == bare.shape
    labels = gpd.read_file(folder / "labels.gpkg").to_crs(scene.geobox.crs).geometry
    pixels = [shapely.transform(label, scene.geobox.to_pixel) for label in labels]
    across, down = picture.shape[1] / scene.geobox.width, picture.shape[0] / scene.geobox.height
    must, may = expected(pixels, picture.shape[:2], across, down)
    changed = np.abs(picture - bare).max(axis=2) > 4
    assert changed[must].mean() > 0.97  # a yellow roof hides a yellow fill
    assert (changed <= may).all()


def test_polygons_far_from_the_scene_are_counted_and_not_seen(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path, grey()))
    away = Transformer.from_crs(UTM, 4326, always_xy=True).transform(700_000, 5_100_000)
    table = gpd.GeoDataFrame(geometry=[shapely.Point(away).buffer(0.01)], crs=4326)
    table.to_file(tmp_path / "far.gpkg")
    assert (without_legend(read(preview(scene, tmp_path / "far.gpkg", tmp_path / "p.png", max_side=SIDE))) == 120).all()
