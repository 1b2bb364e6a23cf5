"""From file to polygons with the exact segmenter: every property is an equality of bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import shapely
from executors import EXECUTORS
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import flat_scene
from rasterio.features import rasterize
from scenes import NORTH_UP, SCENES, UTM, rotated, write_scene
from scipy import ndimage
from shapely.affinity import affine_transform

from geosam.errors import PromptOutsideScene
from geosam.geometry.corners import corners_of
from geosam.geometry.polygons import polygonize
from geosam.prompts.prompt import Prompt
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

ONE = np.ones(1, np.int8)


def colours(picture):
    """(H, W) one integer for each colour."""
    return (picture.astype(np.int64) * [[[65536]], [[256]], [[1]]]).sum(axis=0)


def truth(picture, valid=None):
    """Label map of the 4-connected components of equal colour, and how many there are."""
    grey = colours(picture)
    if valid is not None:
        grey[~valid] = -1
    labels, top = np.zeros(grey.shape, np.int32), 0
    for value in np.unique(grey[grey >= 0]):
        found, count = ndimage.label(grey == value)
        labels[found > 0] = found[found > 0] + top
        top += count
    return labels, top


def truth_polygons(picture, valid=None):
    labels, count = truth(picture, valid)
    return polygonize([corners_of(labels == value, 0, 0) for value in range(1, count + 1)])


def run(path, out, **options):
    opening = {name: options.pop(name) for name in ("window", "resolution", "crs", "stretch") if name in options}
    scene = open_scene(path, **opening)
    summary = segment_scene(scene, ThresholdSegmenter(), out, RunOptions(**options))
    return scene, summary, read(out)


def read(out):
    _, _, wkb, columns = pyogrio.raw.read(out)
    names = pyogrio.read_info(out)["fields"]
    return shapely.from_wkb(wkb), dict(zip(names, columns, strict=True))


def pixels(scene, polygons):
    """Polygons of the file back in scene pixels, which they must hit to 1e-6 px; normalized WKB, sorted."""
    moved = shapely.transform(polygons, scene.geobox.to_pixel)
    xy = shapely.get_coordinates(moved)
    assert np.abs(xy - np.round(xy)).max() < 1e-6
    return sorted(shapely.to_wkb(shapely.normalize(_single(p))) for p in moved)


def _single(polygon):
    parts = shapely.get_parts(shapely.set_precision(polygon, 1))
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def expected(polygons):
    return sorted(shapely.to_wkb(shapely.normalize(_single(p))) for p in polygons)


@pytest.fixture(scope="module")
def picture():
    return flat_scene(np.random.default_rng(11), 190, 230, 40)


GRIDS = [(1024, 256), (64, 16), (100, 37), (64, 44), (128, 2), (70, 50)]


@pytest.mark.fault("Q6")
@pytest.mark.parametrize(("tile_size", "overlap"), GRIDS)
def test_bytes_do_not_depend_on_tile_size_and_overlap(tmp_path, picture, tile_size, overlap):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    scene, summary, (polygons, _) = run(path, tmp_path / "out.gpkg", tile_size=tile_size, overlap=overlap)
    assert pixels(scene, polygons) == expected(truth_polygons(picture))
    _, _, (whole, _) = run(path, tmp_path / "whole.gpkg")
    assert shapely.to_wkb(polygons).tolist() == shapely.to_wkb(whole).tolist()
    assert summary.count == len(polygons)


@pytest.mark.fault("Q6")
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), tile_size=st.integers(24, 90), data=st.data())
def test_random_scenes_random_grids(tmp_path_factory, seed, tile_size, data):
    rng = np.random.default_rng(seed)
    scenery = flat_scene(rng, int(rng.integers(20, 120)), int(rng.integers(20, 120)), int(rng.integers(1, 25)))
    folder = tmp_path_factory.mktemp("random")
    path = write_scene(folder / "scene.tif", scenery, photometric="rgb")
    overlap = data.draw(st.integers(2, tile_size * 2 // 3))
    scene, _, (polygons, columns) = run(path, folder / "out.gpkg", tile_size=tile_size, overlap=overlap)
    assert pixels(scene, polygons) == expected(truth_polygons(scenery))
    assert not columns["truncated"].any()


@pytest.mark.fault("Q9")
@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "deflate"},
        {"compress": "lzw", "interleave": "band"},
        {"BIGTIFF": "YES"},
        {"blockysize": 1},
    ],
    ids=["tiled", "bands apart", "BigTIFF", "strips"],
)
def test_layout_and_compression_of_the_file_do_not_matter(tmp_path, picture, profile):
    plain = run(
        write_scene(tmp_path / "a.tif", picture, photometric="rgb"), tmp_path / "a.gpkg", tile_size=90, overlap=20
    )[2]
    other = run(
        write_scene(tmp_path / "b.tif", picture, photometric="rgb", **profile),
        tmp_path / "b.gpkg",
        tile_size=90,
        overlap=20,
    )[2]
    assert shapely.to_wkb(plain[0]).tolist() == shapely.to_wkb(other[0]).tolist()


@pytest.mark.fault("R16", "R17", "Q9")
@pytest.mark.parametrize("kind", ["south_up", "east_west_flipped"])
def test_flipped_copies_give_the_same_polygons(tmp_path, picture, kind):
    north = run(SCENES["north_up"](tmp_path, picture), tmp_path / "a.gpkg", tile_size=90, overlap=20)
    flipped = run(SCENES[kind](tmp_path, picture), tmp_path / "b.gpkg", tile_size=90, overlap=20)
    assert pixels(north[0], north[2][0]) == pixels(flipped[0], flipped[2][0])
    assert shapely.equals_exact(north[2][0], flipped[2][0], tolerance=0.5e-6).all()


@pytest.mark.fault("Q5")
@pytest.mark.parametrize("kind", sorted(SCENES))
def test_area_raster_and_validity_on_every_kind_of_grid(tmp_path, kind):
    scene, _, (polygons, columns) = run(SCENES[kind](tmp_path), tmp_path / "out.gpkg", tile_size=48, overlap=12)
    tile = scene.read(scene.region)
    labels, count = truth(tile.rgb, tile.valid)
    assert len(polygons) == count
    assert shapely.is_valid(polygons).all()
    counted = np.bincount(labels.ravel())[1:]
    assert np.sort(shapely.area(polygons)) == pytest.approx(np.sort(counted) * scene.geobox.pixel_area, rel=1e-6)
    back = rasterize(
        list(zip(polygons, columns["id"].tolist(), strict=True)),
        tile.valid.shape,
        transform=scene.geobox.transform,
        dtype="int32",
    )
    assert ((back > 0) == tile.valid).all()
    pairs = np.unique(np.stack([back.ravel(), labels.ravel()]), axis=1).T
    assert len(pairs) == count + (not tile.valid.all())


@pytest.mark.fault("R18")
def test_rotated_polygons_are_the_north_up_ones_turned(tmp_path, picture):
    north = run(SCENES["north_up"](tmp_path, picture), tmp_path / "a.gpkg")
    turned = run(SCENES["rotated"](tmp_path, picture), tmp_path / "b.gpkg")
    change = rotated() @ ~NORTH_UP
    matrix = [change.a, change.b, change.d, change.e, change.c, change.f]
    for before, after in zip(north[2][0], turned[2][0], strict=True):
        assert affine_transform(before, matrix).symmetric_difference(after).area < 1e-3 * after.area


def test_workers_and_one_process_write_the_same_bytes(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    outputs = [tmp_path / name / "out.fgb" for name in ("serial", "pool")]
    for workers, out in enumerate(outputs, start=1):
        out.parent.mkdir()
        run(path, out, tile_size=64, overlap=16, workers=workers)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("layout", ["overlapping", "planar"])
def test_every_executor_writes_the_same_bytes(tmp_path, picture, layout):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    options = RunOptions(tile_size=64, overlap=16, layout=layout)
    written = []
    for name, executor in EXECUTORS.items():
        (tmp_path / name).mkdir()
        out = tmp_path / name / "out.gpkg"
        segment_scene(open_scene(path), ThresholdSegmenter(), out, options, executor=executor)
        written.append(out.read_bytes())
    assert written.count(written[0]) == len(EXECUTORS)


def test_every_executor_writes_the_same_bytes_for_prompts(tmp_path, picture):
    scene = open_scene(write_scene(tmp_path / "scene.tif", picture, photometric="rgb"))
    prompts = clicks(scene, [(20, 30), (100, 100), (200, 150), (3, 180)])
    options = RunOptions(tile_size=64, overlap=16)
    written = []
    for name, executor in EXECUTORS.items():
        (tmp_path / name).mkdir()
        out = tmp_path / name / "out.gpkg"
        segment_prompts(scene, ThresholdSegmenter(), prompts, out, options, executor=executor)
        written.append(out.read_bytes())
    assert written.count(written[0]) == len(EXECUTORS)


def test_an_object_across_fifty_tiles_and_the_background_are_one_polygon_each(tmp_path):
    scenery = np.full((3, 40, 50 * 48 + 16), 50, np.uint8)
    scenery[:, 7, 3:-3] = 200
    scenery[:, 7:30, 10::24] = 200
    path = write_scene(tmp_path / "scene.tif", scenery, photometric="rgb")
    scene, _, (polygons, columns) = run(path, tmp_path / "out.gpkg", tile_size=64, overlap=16)
    assert pixels(scene, polygons) == expected(truth_polygons(scenery))
    assert columns["n_tiles"].min() >= 50


def test_rows_follow_the_first_pixel_and_ids_count_them(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    scene, _, (polygons, columns) = run(path, tmp_path / "out.gpkg", tile_size=64, overlap=16)
    assert columns["id"].tolist() == list(range(1, len(polygons) + 1))
    firsts = [min((y, x) for x, y in np.round(scene.geobox.to_pixel(shapely.get_coordinates(p)))) for p in polygons]
    assert firsts == sorted(firsts)


@pytest.mark.fault("Q10")
def test_objects_are_disjoint_and_inside_the_raster(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    _, _, (polygons, _) = run(path, tmp_path / "out.gpkg", tile_size=64, overlap=16)
    assert shapely.area(polygons).sum() == pytest.approx(shapely.area(shapely.union_all(polygons)))


@pytest.mark.fault("Q11")
def test_a_window_gives_what_the_whole_scene_gives_away_from_its_border(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    scene, _, (polygons, _) = run(path, tmp_path / "all.gpkg", tile_size=64, overlap=16)
    left, bottom, right, top = scene.geobox.bounds
    bounds = (left + 20, bottom + 15, right - 30, top - 10)
    _, _, (inside, columns) = run(path, tmp_path / "part.gpkg", tile_size=64, overlap=16, window=bounds)
    whole = {shapely.to_wkb(p) for p in polygons}
    untouched = inside[~columns["touches_edge"].astype(bool)]
    assert len(untouched)
    assert {shapely.to_wkb(p) for p in untouched} <= whole


@pytest.mark.parametrize("seed", range(4))
def test_a_resampled_scene_is_as_independent_of_its_tiles(tmp_path, seed):
    scenery = flat_scene(np.random.default_rng(seed), 200, 260, 30)
    path = write_scene(tmp_path / "scene.tif", scenery, photometric="rgb")
    results = [
        run(path, tmp_path / f"{tile}.gpkg", tile_size=tile, overlap=tile // 3, resolution=0.83)[2][0]
        for tile in (1024, 50)
    ]
    assert shapely.to_wkb(results[0]).tolist() == shapely.to_wkb(results[1]).tolist()


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "parquet", "fgb"])
def test_planar_equals_overlapping_for_disjoint_objects_in_every_format(tmp_path, picture, suffix):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    counts = []
    for layout in ("overlapping", "planar"):
        summary = run_quietly(path, tmp_path / f"{layout}.{suffix}", tile_size=90, overlap=20, layout=layout)
        counts.append((summary.count, summary.too_small))
    assert counts[0] == counts[1]


def run_quietly(path, out, **options):
    return segment_scene(open_scene(path), ThresholdSegmenter(), out, RunOptions(**options))


@pytest.mark.fault("O33")
def test_min_area_is_ground_metres_after_stitching_and_counted(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    _, every, (_, columns) = run(path, tmp_path / "all.gpkg", tile_size=64, overlap=16)
    limit = float(np.median(columns["area_m2"]))
    _, summary, (_, kept) = run(path, tmp_path / "large.gpkg", tile_size=64, overlap=16, min_area_m2=limit)
    assert summary.count == (columns["area_m2"] >= limit).sum()
    assert summary.count + summary.too_small == every.count
    assert kept["area_m2"].min() >= limit


def test_holes_up_to_a_size_are_filled(tmp_path):
    scenery = np.full((3, 60, 60), 30, np.uint8)
    scenery[:, 10:12, 10:12] = 90  # 1 m2
    scenery[:, 30:40, 30:40] = 150  # 25 m2
    path = write_scene(tmp_path / "scene.tif", scenery, photometric="rgb")
    _, _, (polygons, _) = run(path, tmp_path / "out.gpkg", tile_size=24, overlap=6, fill_holes_m2=5)
    assert sorted(shapely.get_num_interior_rings(shapely.get_parts(polygons)).tolist()) == [0, 0, 1]


def clicks(scene, points):
    crs = scene.geobox.crs
    return [Prompt(str(i), crs, scene.geobox.to_map([(x + 0.5, y + 0.5)]), ONE) for i, (x, y) in enumerate(points)]


@pytest.mark.parametrize("workers", [1, 2])
def test_prompts_give_the_components_they_lie_on(tmp_path, picture, workers):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb", crs=UTM)
    scene = open_scene(path)
    labels, _ = truth(picture)
    points = [(int(x), int(y)) for x, y in np.random.default_rng(2).integers(0, [230, 190], (25, 2))]
    out = tmp_path / "out.gpkg"
    options = RunOptions(tile_size=40, overlap=10, workers=workers)
    summary = segment_prompts(scene, ThresholdSegmenter(), clicks(scene, points), out, options)
    assert summary.count == len(points)
    polygons, columns = read(out)
    outlines = [corners_of(labels == labels[y, x], 0, 0) for x, y in points]
    assert pixels(scene, polygons) == expected(polygonize(outlines))
    assert not columns["truncated"].any()


@pytest.mark.fault("Q8", "P33")
def test_order_of_prompts_does_not_matter(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    scene = open_scene(path)
    prompts = clicks(scene, [(20, 30), (100, 100), (20, 30), (200, 150)])
    prompts = [replace(prompt, id=name) for prompt, name in zip(prompts, "abcd", strict=True)]
    for name, order in (("a", [0, 1, 2, 3]), ("b", [3, 2, 1, 0])):
        chosen = [prompts[i] for i in order]
        segment_prompts(
            scene, ThresholdSegmenter(), chosen, tmp_path / f"{name}.fgb", RunOptions(tile_size=64, overlap=9)
        )
    first, second = (read(tmp_path / f"{name}.fgb") for name in "ab")
    assert shapely.to_wkb(first[0]).tolist() == shapely.to_wkb(second[0]).tolist()
    assert first[1]["prompt_id"].tolist() == second[1]["prompt_id"].tolist()


@pytest.mark.fault("P02")
def test_a_prompt_in_nodata_gives_a_warning_and_no_row(tmp_path):
    scene = open_scene(SCENES["nodata"](tmp_path))
    summary = segment_prompts(scene, ThresholdSegmenter(), clicks(scene, [(3, 3)]), tmp_path / "out.gpkg", RunOptions())
    assert summary.count == 0
    assert any("found no object" in warning for warning in summary.warnings)


def box_prompt(scene, x0, y0, x1, y1):
    (left, top), (right, bottom) = scene.geobox.to_map([(x0, y0), (x1, y1)])
    return Prompt("0", scene.geobox.crs, box_xyxy=(left, bottom, right, top))


@pytest.mark.fault("P16")
def test_a_box_larger_than_a_tile_is_decoded_in_its_middle_and_grown(tmp_path):
    scenery = np.full((3, 200, 300), 40, np.uint8)
    scenery[:, 20:180, 20:280] = 220
    scenery[:, 90:110, 140:160] = 90
    scene = open_scene(write_scene(tmp_path / "scene.tif", scenery, photometric="rgb"))
    out = tmp_path / "out.gpkg"
    options = RunOptions(tile_size=64, overlap=16)
    segment_prompts(scene, ThresholdSegmenter(), [box_prompt(scene, 15, 15, 285, 185)], out, options)
    polygons, columns = read(out)
    assert shapely.area(polygons).tolist() == [(260 * 160 - 400) * scene.geobox.pixel_area]
    assert columns["n_tiles"][0] > 9


@pytest.mark.fault("P01")
def test_prompts_outside_the_window_are_refused_or_left_out(tmp_path, picture):
    path = write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    left, bottom, _, _ = open_scene(path).geobox.bounds
    scene = open_scene(path, window=(left, bottom, left + 30, bottom + 30))
    prompts = clicks(scene, [(10, 180), (200, 10)])
    out = tmp_path / "out.gpkg"
    with pytest.raises(PromptOutsideScene, match="`skip_outside=True`") as refused:
        segment_prompts(scene, ThresholdSegmenter(), prompts, out, RunOptions())
    assert refused.value.exit_code == 4
    summary = segment_prompts(scene, ThresholdSegmenter(), prompts, out, RunOptions(), skip_outside=True)
    assert summary.count == 1
    assert any("outside `window`" in warning for warning in summary.warnings)
