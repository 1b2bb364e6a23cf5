"""Vector layers as the temporary files that the worker reads."""

import pytest
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsVectorLayer,
    QgsWkbTypes,
)

from geosam_qgis.processing.inputs import as_file

FIELDS = (
    "field=name:string(20)&field=label:integer&field=height:double&field=day:date&field=tags:string[]&field=fid:integer"
)


@pytest.fixture
def written(qgis_app, qgis_processing):
    """`written(layer)`: the layer in the file that the worker gets."""

    def write(layer, feedback=None):
        context = QgsProcessingContext()
        source = QgsProcessingFeatureSource(layer, context)
        path = as_file(source, "prompts", feedback or QgsProcessingFeedback(False))
        copy = QgsVectorLayer(f"{path}|layername=prompts", "copy", "ogr")
        assert copy.isValid()
        return copy

    yield write
    QgsProcessingUtils.tempFolder()


def layer_of(kind, *geometries, fields=FIELDS):
    layer = QgsVectorLayer(f"{kind}?crs=EPSG:3857&{fields}", "clicks", "memory")
    for wkt in geometries:
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        layer.dataProvider().addFeature(feature)
    return layer


def test_geometry_crs_and_plain_attributes_are_copied(written):
    layer = layer_of("Point", "Point (1 2)")
    layer.startEditing()
    layer.changeAttributeValues(1, {0: "gr\u00fcn", 1: 1, 2: 2.5})
    (feature,) = written(layer).getFeatures()
    assert feature.geometry().asWkt() == "Point (1 2)"
    assert (feature["name"], feature["label"], feature["height"]) == ("gr\u00fcn", 1, 2.5)
    assert written(layer).crs().authid() == "EPSG:3857"
    layer.rollBack()


def test_attributes_that_a_geopackage_cannot_hold_are_left_out(written):
    names = written(layer_of("Point", "Point (1 2)")).fields().names()
    assert names == ["fid", "name", "label", "height", "day"]


def test_curves_heights_and_measures_become_plain_polygons(written):
    copy = written(
        layer_of("CurvePolygonZ", "CurvePolygonZ (CircularStringZ (0 0 5, 10 10 5, 20 0 5, 10 -10 5, 0 0 5))")
    )
    (feature,) = copy.getFeatures()
    assert copy.wkbType() == QgsWkbTypes.Type.Polygon
    assert feature.geometry().area() == pytest.approx(3.14159 * 100, rel=0.01)


def test_features_keep_their_numbers_and_new_ones_come_last(written):
    layer = layer_of("Point", "Point (1 1)", "Point (2 2)", "Point (3 3)")
    layer.dataProvider().deleteFeatures([2])
    layer.startEditing()
    for wkt in ("Point (4 4)", "Point (5 5)"):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        layer.addFeature(feature)
    numbers = {feature.geometry().asPoint().x(): feature.id() for feature in written(layer).getFeatures()}
    assert (numbers[1], numbers[3]) == (1, 3)
    assert 10**12 < numbers[4] < numbers[5]
    layer.rollBack()


def test_a_feature_without_a_geometry_is_kept_for_the_worker_to_name(written):
    layer = layer_of("Point", "Point (1 1)")
    layer.dataProvider().addFeature(QgsFeature(layer.fields()))
    assert [feature.geometry().isEmpty() for feature in written(layer).getFeatures()] == [False, True]


def test_a_cancelled_copy_ends_at_once(written):
    feedback = QgsProcessingFeedback(False)
    feedback.cancel()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        written(layer_of("Point", "Point (1 1)"), feedback)
