"""Polygons into files: GeoPackage, GeoJSON, shapefile, GeoParquet, FlatGeobuf; complete or not at all."""

from geosam.export.checks import check_output
from geosam.export.schema import Column, Target
from geosam.export.writer import FeatureWriter, read_provenance

__all__ = ["Column", "FeatureWriter", "Target", "check_output", "read_provenance"]
