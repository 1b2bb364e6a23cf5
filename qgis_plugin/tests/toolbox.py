"""Tools for the tests of the algorithms: results of the command line, rows of layers, prompt layers, outlines."""

import json
import os
import subprocess

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsVectorLayer,
)


def command_line(*arguments):
    """Run `geosam`, and return its JSON."""
    done = subprocess.run(
        [os.environ["GEOSAM_WORKER"], *map(str, arguments), "--json"], capture_output=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def rows(path):
    """Geometry and attributes of a layer, sorted; without the number of the feature."""
    layer = path if isinstance(path, QgsVectorLayer) else QgsVectorLayer(str(path), "layer", "ogr")
    assert layer.isValid(), path
    names = [name for name in layer.fields().names() if name != "fid"]
    return sorted(
        (bytes(feature.geometry().asWkb()), [feature[name] for name in names]) for feature in layer.getFeatures()
    )


def prompt_layer(scene, crs, names, *fields):
    """A layer in memory with a point in each of some objects, in another CRS."""
    layer = QgsVectorLayer("&".join([f"Point?crs={crs}", *(f"field={field}" for field in fields)]), "clicks", "memory")
    moved = QgsCoordinateTransform(QgsCoordinateReferenceSystem(scene.authid), layer.crs(), QgsProject.instance())
    for name in names:
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(moved.transform(QgsPointXY(*scene.spot(name)))))
        if fields:
            feature.setAttribute(0, name)
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer)
    return layer


def outlines(scene, *names):
    """The known outlines of objects, as geometries."""
    return [QgsGeometry.fromPolygonXY([[QgsPointXY(*vertex) for vertex in scene.outline(name)]]) for name in names]


def same_shape(one, other):
    return one.symDifference(other).area() < 1e-6 * other.area()
