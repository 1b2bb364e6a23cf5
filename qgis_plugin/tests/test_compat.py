"""One name for parts with different names in old and new QGIS."""

import pytest
from qgis.core import QgsFeature, QgsVectorLayer
from qgis.PyQt.QtCore import QDateTime

from geosam_qgis.compat import QAction, field


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", "é"), ("integer", 2**40), ("number", 0.5), ("truth", True), ("time", QDateTime.fromMSecsSinceEpoch(0))],
)
def test_a_field_keeps_values_of_its_kind(kind, value):
    layer = QgsVectorLayer("Point", "x", "memory")
    assert layer.dataProvider().addAttributes([field("a", kind)])
    layer.updateFields()
    feature = QgsFeature(layer.fields())
    feature.setAttribute("a", value)
    assert layer.dataProvider().addFeature(feature)
    assert next(layer.getFeatures())["a"] == value


def test_an_action_can_be_made(qgis_app):
    assert QAction("x").text() == "x"
