"""Builders of small vector files for the tests of prompts, and what a refusal has to look like."""

import contextlib
import json
import sqlite3
import struct

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from geosam.errors import PromptError
from geosam.geometry.geobox import GeoBox
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene

UTM = "EPSG:32633"
WGS84 = CRS(4326)
X, Y = 500000, 4000000
#: The grid of a scene around the prompts of the tests.
SCENE = GeoBox(300, 200, Affine(0.5, 0, X, 0, -0.5, Y + 100), CRS(UTM))
#: A polygon that crosses itself.
BOWTIE = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])


def shifted(*geometries):
    """Geometries of the pixel-sized neighbourhood of the origin, moved to where the scene of the tests is."""
    return [None if g is None else shapely.transform(g, lambda xy: np.add(xy, (X, Y))) for g in geometries]


def write_layer(path, geometries, *, crs=UTM, geometry_type="Unknown", layer=None, append=False, **columns):
    """Write a layer with columns of Python values and return its path."""
    wkb = shapely.to_wkb(np.array(geometries, object))
    table = pa.table({"geometry": pa.array(wkb.tolist(), pa.binary()), **columns})
    options = {
        "geometry_name": "geometry",
        "geometry_type": geometry_type,
        "crs": crs,
        "layer": layer,
        "append": append,
    }
    pyogrio.write_arrow(table, path, driver="LIBKML" if path.suffix == ".kml" else None, **options)
    return path


def feature(geometry, **properties):
    """One GeoJSON feature; `geometry` is its JSON or None."""
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def json_point(x, y):
    """A GeoJSON point."""
    return {"type": "Point", "coordinates": [x, y]}


def write_geojson(path, *features, encoding="utf-8", **members):
    """Write a GeoJSON file as other programs do, NaN and crs members included."""
    collection = {"type": "FeatureCollection", **members, "features": features}
    path.write_bytes(json.dumps(collection, ensure_ascii=False).encode(encoding))
    return path


def drop_triggers(database):
    """Remove what needs functions that only GDAL has, so that plain SQLite can edit a GeoPackage."""
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f'DROP TRIGGER "{trigger}"')


def write_raw_geometry(path, wkb, crs=UTM):
    """Write a GeoPackage whose one feature has exactly these bytes as its WKB: what libraries refuse to write."""
    write_layer(path, shifted(shapely.Point(1, 1)), crs=crs, label=[1])
    with contextlib.closing(sqlite3.connect(path)) as database:
        drop_triggers(database)
        header = b"GP\0\x01" + struct.pack("<i", int(crs.split(":")[1]))
        database.execute(f'UPDATE "{path.stem}" SET geom = ?', (header + wkb,))  # noqa: S608 - a name from the test
        database.commit()
    return path


def refused(kind, path, *texts, scene=None, **options):
    """Reading (and placing) the layer raises exactly `kind` with one line that names the file and the texts."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(PromptError) as caught:
        to_scene(read_prompts(path, **options)[0], scene)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert caught.value.exit_code == 4
    assert "\n" not in message
    for text in (str(path), *texts):
        assert text in message
    assert before is None or path.read_bytes() == before
    return message
