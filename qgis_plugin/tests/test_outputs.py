"""Outputs of the algorithms: the files that the worker writes itself, and all others."""

import pytest
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsProperty,
    QgsRemappingSinkDefinition,
)

from geosam_qgis.processing.outputs import OUTPUT, output_file, temporary_path


@pytest.mark.parametrize(
    "path",
    [
        "/data/a.gpkg",
        "C:/data/a b.gpkg",
        "C:\\data\\a.shp",
        "/d\u00e9p\u00f4t/a.geojson",
        "a.GPKG",
        "/x.parquet",
        "/x.fgb",
    ],
)
def test_a_file_in_a_format_of_the_worker_is_written_by_the_worker(qgis_app, path):
    assert output_file({OUTPUT: path}, QgsProcessingContext()) == path
    definition = QgsProcessingOutputLayerDefinition(path, QgsProject.instance())
    assert output_file({OUTPUT: definition}, QgsProcessingContext()) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "memory:objects",
        "TEMPORARY_OUTPUT",
        "/data/a.tab",
        "ogr:dbname='/data/a.gpkg' table=\"found\" (geom)",
        'postgis:dbname=\'gis\' table="public"."found" (geom) sql=a.gpkg',
    ],
)
def test_any_other_output_is_copied_from_a_temporary_file(qgis_app, path):
    assert output_file({OUTPUT: path}, QgsProcessingContext()) == ""


def test_without_an_output_there_is_no_file(qgis_app):
    assert output_file({}, QgsProcessingContext()) == ""
    assert output_file({OUTPUT: None}, QgsProcessingContext()) == ""


def test_an_output_from_an_expression_is_evaluated(qgis_app):
    definition = QgsProcessingOutputLayerDefinition()
    definition.sink = QgsProperty.fromExpression("'/data/' || 'a.gpkg'")
    assert output_file({OUTPUT: definition}, QgsProcessingContext()) == "/data/a.gpkg"


def test_an_output_whose_fields_are_mapped_is_filled_by_qgis(qgis_app):
    definition = QgsProcessingOutputLayerDefinition("/data/a.gpkg")
    definition.setRemappingDefinition(QgsRemappingSinkDefinition())
    assert output_file({OUTPUT: definition}, QgsProcessingContext()) == ""


def test_temporary_files_never_meet(qgis_app, qgis_processing):
    paths = [temporary_path("objects.gpkg") for _ in range(20)]
    assert len(set(paths)) == 20
    assert all(path.endswith("objects.gpkg") for path in paths)
