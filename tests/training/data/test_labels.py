import math

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize
from scenes import SCENES, UTM, picture, write_scene

from geosam.errors import PromptError, PromptOutsideScene, UnreadableScene, UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene
from geosam.training.data.labels import label_scene, read_label_map, read_labelled


def on_map(path, shape):
    """A shape in scene pixels -> map coordinates."""
    return shapely.transform(shape, open_scene(path).geobox.to_map)


def write_layer(path, shapes, crs=UTM, **columns):
    geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=crs).to_file(path)
    return path


def labelled(tmp_path, scene, *shapes, area=None, **options):
    """Read a scene with labels, and perhaps an area, given in scene pixels."""
    crs = open_scene(scene).geobox.crs
    labels = write_layer(tmp_path / "labels.gpkg", [on_map(scene, shape) for shape in shapes], crs)
    limits = area and write_layer(tmp_path / "area.gpkg", [on_map(scene, area)], crs)
    return read_labelled(scene, labels, area=limits, **options)


def north_up(tmp_path, width=90, height=70, **profile):
    return write_scene(tmp_path / "scene.tif", picture(width, height), photometric="rgb", **profile)


@pytest.mark.parametrize("kind", SCENES)
def test_polygons_land_on_the_pixels_that_gdal_gives_them_on_any_grid(kind, tmp_path):
    scene = SCENES[kind](tmp_path)
    grid = open_scene(scene).geobox
    size = np.array([grid.width, grid.height])
    corners = np.array([(0.12, 0.21), (0.83, 0.18), (0.91, 0.77), (0.33, 0.93)]) * size
    found = labelled(tmp_path, scene, shapely.Polygon(corners))
    with rasterio.open(scene) as file:
        shape, t = on_map(scene, shapely.Polygon(corners)), file.transform
        expected = rasterize([shape], (file.height, file.width), transform=t) > 0
    if t.b == 0 and t.e > 0:
        expected = expected[::-1]
    if t.b == 0 and t.a < 0:
        expected = expected[:, ::-1]
    wrong = (found.instances > 0) != (expected & found.valid)
    assert wrong.sum() <= 2, "only pixels whose centre lies on the outline may differ"
    assert expected.sum() > 0.3 * expected.size
    assert (found.complete == found.valid).all()


@pytest.mark.parametrize("kind", ["north_up", "nodata", "alpha", "four_band_uint16", "rotated"])
def test_the_picture_is_the_one_that_models_are_shown(kind, tmp_path):
    scene = SCENES[kind](tmp_path)
    found = labelled(tmp_path, scene, shapely.box(20, 10, 60, 40))
    opened = open_scene(scene)
    tile = opened.read(opened.region)
    assert (found.rgb == tile.rgb).all()
    assert (found.valid == tile.valid).all()
    assert not found.instances[~tile.valid].any()
    assert not found.complete[~tile.valid].any()


def test_labels_in_another_crs_are_brought_into_the_scene(tmp_path):
    scene = north_up(tmp_path)
    shape = on_map(scene, shapely.box(20, 10, 60, 40))
    labels = tmp_path / "labels.geojson"
    geopandas.GeoDataFrame(geometry=[shape], crs=UTM).to_crs(4326).to_file(labels)
    instances = read_labelled(scene, labels).instances
    assert (instances[10:40, 20:60] == 1).all()
    assert instances.sum() == 30 * 40


@pytest.mark.parametrize("order", [1, -1])
def test_where_polygons_overlap_the_smaller_one_is_on_top(order, tmp_path):
    shapes = [shapely.box(10, 10, 60, 50), shapely.box(20, 20, 30, 30)][::order]
    instances = labelled(tmp_path, north_up(tmp_path), *shapes).instances
    large, small = (1, 2)[::order]
    assert (instances[20:30, 20:30] == small).all()
    assert (instances == large).sum() == 50 * 40 - 100


def test_only_what_lies_around_a_labelled_area_is_read(tmp_path):
    scene = north_up(tmp_path, 1300, 40)
    inside, outside = shapely.box(20, 5, 50, 25), shapely.box(300, 5, 350, 25)
    found = labelled(tmp_path, scene, inside, outside, area=shapely.box(10, 0, 200, 40))
    assert found.rgb.shape == (3, 40, 200 + 512)
    assert (found.rgb == open_scene(scene).read(Window(0, 0, 712, 40)).rgb).all()
    assert (found.complete == (np.arange(712) >= 10) & (np.arange(712) < 200)).all()
    assert [(found.instances == i).sum() for i in (1, 2)] == [600, 1000]


def test_a_region_shifts_all_labels(tmp_path):
    scene = north_up(tmp_path)
    bounds = on_map(scene, shapely.box(15, 5, 80, 60)).bounds
    kinds = {
        "polygons": shapely.box(20, 10, 60, 40),
        "boxes": shapely.box(20, 10, 60, 40),
        "points": shapely.Point(25, 11),
    }
    found = {
        kind: label_scene(
            open_scene(scene, window=bounds),
            write_layer(tmp_path / f"{kind}.gpkg", [on_map(scene, shape)]),
            kind=kind,
        )
        for kind, shape in kinds.items()
    }
    assert {one.valid.shape for one in found.values()} == {(55, 65)}
    assert (found["polygons"].instances[5:35, 5:45] == 1).all()
    assert found["polygons"].instances.sum() == 1200
    assert found["boxes"].boxes.tolist() == [[5, 5, 45, 35]]
    np.testing.assert_allclose(found["points"].points, [(10, 6)], atol=1e-4)


def test_what_was_cut_at_the_border_of_the_area_is_unknown(tmp_path):
    cut, crossing, inner = shapely.box(40, 5, 60, 15), shapely.box(40, 20, 70, 30), shapely.box(5, 35, 25, 45)
    at_the_edge = shapely.box(0, 50, 20, 60)
    area = shapely.box(0, 0, 60, 70)
    found = labelled(tmp_path, north_up(tmp_path), cut, crossing, inner, at_the_edge, area=area)
    assert not found.instances[5:15, 40:60].any()
    assert not found.complete[5:15, 40:60].any()
    assert sorted(np.unique(found.instances, return_counts=True)[1][1:]) == [200, 200, 300]
    assert found.complete.sum() == 60 * 70 - 200


def test_labels_that_all_end_at_the_border_of_the_area_are_refused(tmp_path):
    shape = shapely.box(20, 10, 60, 40)
    with pytest.raises(PromptError, match=r"scene.tif: all 1 polygons in it end at the border"):
        labelled(tmp_path, north_up(tmp_path), shape, area=shape)


def test_labels_that_are_not_complete_leave_the_rest_unknown(tmp_path):
    found = labelled(tmp_path, north_up(tmp_path), shapely.box(20, 10, 60, 40), complete=False)
    assert found.instances.any()
    assert not found.complete.any()


def test_of_boxes_and_points_only_these_are_known(tmp_path):
    scene = north_up(tmp_path)
    oblique = shapely.Polygon([(20, 10), (60, 20), (50, 40), (25, 30)])
    boxed = labelled(tmp_path, scene, oblique, shapely.box(80, 60, 95, 75), kind="boxes")
    np.testing.assert_allclose(boxed.boxes, [(20, 10, 60, 40), (80, 60, 90, 70)], atol=1e-4)
    assert not boxed.instances.any()
    assert boxed.complete.sum() == 90 * 70 - 40 * 30 - 100
    dots = labelled(tmp_path, scene, shapely.Point(3.25, 4), shapely.Point(200, 4), kind="points")
    np.testing.assert_allclose(dots.points, [(3.25, 4)], atol=1e-4)
    assert not dots.instances.any()
    assert not dots.complete.any()


def test_points_that_exclude_are_no_objects(tmp_path):
    scene = north_up(tmp_path)
    points = [on_map(scene, shapely.Point(x, 20)) for x in (10, 30)]
    labels = write_layer(tmp_path / "points.gpkg", points, object_id=[1, 1], label=[1, 0])
    np.testing.assert_allclose(read_labelled(scene, labels, kind="points").points, [(10, 20)], atol=1e-4)


def test_the_ground_resolution_is_native_unless_one_is_asked_for(tmp_path):
    scene = north_up(tmp_path)
    native = labelled(tmp_path, scene, shapely.box(20, 10, 60, 40))
    assert native.gsd == pytest.approx(0.5, rel=0.01)
    coarse = read_labelled(scene, tmp_path / "labels.gpkg", gsd=1.0)
    assert coarse.gsd == pytest.approx(1, rel=1e-6)
    assert coarse.valid.shape == (36, 46), "half of 70 x 90, where 1 m of UTM is 0.9996 m on the ground"
    assert (coarse.instances > 0).sum() == pytest.approx(15 * 20, rel=0.02)


def test_bands_can_be_chosen(tmp_path):
    scene = SCENES["four_band_uint16"](tmp_path)
    found = labelled(tmp_path, scene, shapely.box(20, 10, 60, 40), bands=(4, 2, 1))
    opened = open_scene(scene, bands=(4, 2, 1))
    assert (found.rgb == opened.read(opened.region).rgb).all()


@pytest.mark.parametrize(
    ("shape", "kind", "error", "message"),
    [
        (shapely.box(200, 10, 240, 40), "polygons", PromptOutsideScene, "0 of 1 polygons lie in"),
        (shapely.Point(20, 10), "polygons", PromptError, "found no polygon, expected polygons only"),
        (shapely.Point(20, 10), "boxes", PromptError, "found no polygon, expected polygons only"),
        (shapely.box(20, 10, 60, 40), "points", PromptError, "found a polygon, expected points only"),
        (
            shapely.box(20, 10, 60, 40),
            "outlines",
            UsageError,
            "found 'outlines', expected one of polygons, boxes, points",
        ),
    ],
)
def test_labels_that_cannot_be_used_are_refused(shape, kind, error, message, tmp_path):
    with pytest.raises(error, match=message):
        labelled(tmp_path, north_up(tmp_path), shape, kind=kind)


def test_an_area_elsewhere_is_refused(tmp_path):
    with pytest.raises(PromptOutsideScene, match=r"area.gpkg: 0 of 1 polygons lie in"):
        labelled(tmp_path, north_up(tmp_path), shapely.box(20, 10, 60, 40), area=shapely.box(200, 0, 300, 40))


def test_repairs_are_logged(tmp_path, caplog):
    bow = shapely.Polygon([(20, 10), (60, 40), (60, 10), (20, 40)])
    found = labelled(tmp_path, north_up(tmp_path), bow)
    assert "1 invalid polygons were repaired" in caplog.text
    assert found.instances.any()


def write_label_map(tmp_path, shape_hw):
    numbers = np.zeros((1, *shape_hw), np.uint16)
    numbers[0, 5:9, 2:12] = 7
    return write_scene(tmp_path / "labels.tif", numbers, transform=Affine.identity(), crs=None), numbers[0]


def test_a_label_map_numbers_the_objects_of_a_picture_without_a_scale(tmp_path):
    scene = write_scene(tmp_path / "picture.tif", picture(), transform=Affine.identity(), crs=None, photometric="rgb")
    labels, numbers = write_label_map(tmp_path, (70, 90))
    found = read_label_map(scene, labels)
    assert (found.rgb == picture()).all()
    assert (found.instances == numbers).all()
    assert found.complete.all()
    assert math.isnan(found.gsd)


def test_a_label_map_of_another_size_or_that_is_missing_is_refused(tmp_path):
    scene = write_scene(tmp_path / "picture.tif", picture(), transform=Affine.identity(), crs=None, photometric="rgb")
    with pytest.raises(UnreadableScene, match="cannot be read"):
        read_label_map(scene, tmp_path / "labels.tif")
    labels, _ = write_label_map(tmp_path, (70, 80))
    with pytest.raises(UnreadableScene, match=r"found \(70, 80\) rows and columns, expected \(70, 90\)"):
        read_label_map(scene, labels)


def test_kampala_lies_under_its_footprints(data_dir):
    """Roofs are red and trees green: the footprints fit the picture better than when moved by 5 m."""
    folder = data_dir / "georef" / "buildings_kampala_0"
    found = read_labelled(folder / "image.tif", folder / "labels.gpkg")
    assert len(np.unique(found.instances)) == 1 + 107
    redness = found.rgb[0].astype(int) - found.rgb[1]
    means = [redness[np.roll(found.instances > 0, shift, (0, 1))].mean() for shift in ((0, 0), (67, 0), (0, 67))]
    assert means[0] > max(means[1:]) + 5
