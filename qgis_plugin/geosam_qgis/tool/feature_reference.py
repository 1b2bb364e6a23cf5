"""References to features of layers, which stay valid when the layer is saved."""

from __future__ import annotations

from dataclasses import dataclass, field

from qgis.core import QgsFeature, QgsFeatureRequest, QgsGeometry, QgsProject, QgsVectorLayer


@dataclass(frozen=True)
class FeatureReference:
    """A reference to a feature of a layer; saving the layer gives the feature another id."""

    layer_id: str
    """Id of the layer."""
    feature_id: int
    """Id of the feature when the reference was made."""
    outline: QgsGeometry = field(compare=False)
    """Geometry of the feature at that time, in the layer's CRS."""

    @property
    def layer(self) -> QgsVectorLayer | None:
        """The layer; None if it was removed from the project."""
        layer = QgsProject.instance().mapLayer(self.layer_id)
        return layer if isinstance(layer, QgsVectorLayer) else None

    @property
    def feature(self) -> QgsFeature | None:
        """The feature with this id, else the one with exactly this outline; None if there is none."""
        layer = self.layer
        if layer is None:
            return None
        feature = layer.getFeature(self.feature_id)
        if feature.isValid():
            return feature
        candidates = layer.getFeatures(QgsFeatureRequest(self.outline.boundingBox()))
        return next((other for other in candidates if other.geometry().isGeosEqual(self.outline)), None)


def reference_to(layer: QgsVectorLayer, feature: QgsFeature) -> FeatureReference:
    """Return a reference to a feature of a layer."""
    return FeatureReference(layer.id(), feature.id(), QgsGeometry(feature.geometry()))
