"""Where an object lies, and how it is found there again."""

from __future__ import annotations

from dataclasses import dataclass, field

from qgis.core import QgsFeature, QgsFeatureRequest, QgsGeometry, QgsProject, QgsVectorLayer


@dataclass(frozen=True)
class FeatureReference:
    """A feature of a layer, also after it was saved, when it gets another id."""

    layer_id: str
    """Of the layer."""
    feature_id: int
    """Of the feature when it was put, or found, there."""
    outline: QgsGeometry = field(compare=False)
    """Its geometry then, in the layer's CRS."""

    @property
    def layer(self) -> QgsVectorLayer | None:
        """The layer, if it is still there."""
        layer = QgsProject.instance().mapLayer(self.layer_id)
        return layer if isinstance(layer, QgsVectorLayer) else None

    @property
    def feature(self) -> QgsFeature | None:
        """The feature: the one with this id, else the one with this very outline; None if it is gone."""
        layer = self.layer
        if layer is None:
            return None
        feature = layer.getFeature(self.feature_id)
        if feature.isValid():
            return feature
        near = layer.getFeatures(QgsFeatureRequest(self.outline.boundingBox()))
        return next((one for one in near if one.geometry().isGeosEqual(self.outline)), None)


def reference_to(layer: QgsVectorLayer, feature: QgsFeature) -> FeatureReference:
    """Where a feature lies."""
    return FeatureReference(layer.id(), feature.id(), QgsGeometry(feature.geometry()))
