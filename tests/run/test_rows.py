"""From finished objects to rows: layout, filters, measures, the prompts' columns."""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Geod

from geosam.geometry.corners import corners_of
from geosam.geometry.geobox import GeoBox, Window
from geosam.objects.scene_object import SceneObject
from geosam.objects.shaping import COLUMNS, Shaping
from geosam.prompts.prompt import Prompt
from geosam.run.rows import PromptTable, write_rows
from geosam.run.spool import ObjectSpool
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

UTM = CRS.from_epsg(32633)
GEOBOX = GeoBox(200, 150, Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), UTM)
POINT = (np.array([[500_001.0, 4_999_999.0]]), np.ones(1, np.int8))


@dataclass
class Written:
    """Stands in for a FeatureWriter."""

    geometries: list = field(default_factory=list)
    columns: dict = field(default_factory=dict)

    def write(self, geometries, columns):
        self.geometries.extend(geometries)
        for name, values in columns.items():
            self.columns.setdefault(name, []).extend(values)


def thing(mask, x, y, score=0.5, prompt=-1):
    return SceneObject(corners_of(mask, x, y), score, 0.8, 1, touches_edge=False, truncated=False, prompt_index=prompt)


def write(objects, shaping=None, table=None):
    written = Written()
    with ObjectSpool(Window(0, 0, 200, 150)) as spool:
        spool.add(objects)
        spool.seal()
        counts = write_rows(
            spool, written, GEOBOX, (0.5, 0.5), shaping or Shaping(), segmenter=ThresholdSegmenter(), table=table
        )
    return counts, written


def block(width, height):
    return np.ones((height, width), bool)


def test_rows_hold_the_columns_in_order_and_geodesic_measures():
    (written, dropped), rows = write([thing(block(40, 20), 10, 10)])
    assert (written, dropped) == (1, 0)
    assert list(rows.columns) == [column.name for column in COLUMNS]
    corners = GEOBOX.to_map([(10, 10), (50, 10), (50, 30), (10, 30)])
    assert rows.geometries[0].equals(shapely.Polygon(corners))
    geographic = shapely.transform(rows.geometries[0], _lonlat)
    area, perimeter = Geod(ellps="WGS84").geometry_area_perimeter(shapely.orient_polygons(geographic))
    assert rows.columns["area_m2"] == pytest.approx([abs(area)], rel=1e-6)
    assert rows.columns["perimeter_m"] == pytest.approx([perimeter], rel=1e-6)


def _lonlat(xy):
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(UTM, CRS.from_epsg(4326), always_xy=True).transform(xy[:, 0], xy[:, 1])
    return np.stack([lon, lat], axis=1)


def test_planar_gives_a_pixel_to_the_higher_score_then_the_smaller_object():
    objects = [thing(block(40, 40), 0, 0, 0.5), thing(block(40, 40), 20, 0, 0.9), thing(block(10, 10), 2, 2, 0.5)]
    _, overlapping = write(objects)
    _, planar = write(objects, Shaping(layout="planar"))
    areas = [int(polygon.area * 4) for polygon in planar.geometries]
    assert [int(polygon.area * 4) for polygon in overlapping.geometries] == [1600, 1600, 100]
    assert areas == [20 * 40 - 100, 1600, 100]
    assert shapely.union_all(planar.geometries).area == sum(polygon.area for polygon in planar.geometries)


def test_an_object_hidden_by_others_has_no_row_in_the_planar_layout():
    objects = [thing(block(10, 10), 5, 5, 0.2), thing(block(40, 40), 0, 0, 0.9)]
    (count, _), rows = write(objects, Shaping(layout="planar"))
    assert count == 1
    assert rows.columns["id"] == [1]


@pytest.mark.fault("O33")
def test_small_objects_are_counted_and_ids_stay_consecutive():
    objects = [
        thing(block(4, 4), 0, 0),
        thing(block(20, 20), 0, 10),
        thing(block(2, 2), 0, 50),
        thing(block(9, 9), 0, 60),
    ]
    counts, rows = write(objects, Shaping(min_area_m2=10))
    assert counts == (2, 2)
    assert rows.columns["id"] == [1, 2]


def test_holes_are_filled_up_to_the_size_asked_for():
    ring = block(30, 30)
    ring[5:9, 5:9] = False  # 4 m2
    ring[12:28, 12:28] = False
    _, rows = write([thing(ring, 0, 0)], Shaping(fill_holes_m2=5))
    assert [len(polygon.interiors) for polygon in rows.geometries] == [1]


def test_the_prompts_columns_keep_kinds_and_give_way_to_the_results_own():
    attributes = [
        {"name": "a", "floors": 3, "height": 2.5, "flat": True, "seen": dt.date(2026, 1, 2), "score": 7, "mixed": 1},
        {"name": None, "floors": 1, "height": 4, "flat": False, "seen": None, "score": 8, "mixed": "x"},
    ]
    prompts = [Prompt(i, UTM, *POINT, attributes=values) for i, values in enumerate(attributes)]
    table = PromptTable(prompts)
    kinds = {column.name: column.kind for column in table.columns}
    assert kinds == {
        "prompt_id": "text",
        "name": "text",
        "floors": "int",
        "height": "float",
        "flat": "bool",
        "seen": "date",
        "prompt_score": "int",
        "mixed": "text",
    }
    _, rows = write([thing(block(5, 5), 0, 0, prompt=1), thing(block(5, 5), 9, 9, prompt=0)], table=table)
    assert rows.columns["prompt_id"] == ["1", "0"]
    assert rows.columns["prompt_score"] == [8, 7]
    assert rows.columns["mixed"] == ["x", "1"]
    assert rows.columns["name"] == [None, "a"]
