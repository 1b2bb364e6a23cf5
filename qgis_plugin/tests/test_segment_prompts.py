"""`geosam:segmentprompts`: points and polygons of any layer as prompts."""

import pytest
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorLayer,
)
from toolbox import command_line, outlines, prompt_layer, rows, same_shape


def test_prompts_from_a_memory_layer_in_another_crs(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:3857", ["roof", "pond", "field"], "name:string(20)")
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, OUTPUT="memory:")["OUTPUT"]
    assert found.crs().authid() == scene.authid
    by_name = {feature["name"]: feature.geometry() for feature in found.getFeatures()}
    for name, outline in zip(("roof", "pond", "field"), outlines(scene, "roof", "pond", "field")):
        assert same_shape(by_name[name], outline), name


def test_prompts_give_what_the_command_line_gives(run, scene_file, tmp_path):
    from qgis.core import QgsVectorFileWriter

    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:4326", ["roof", "field"], "name:string(20)")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    QgsVectorFileWriter.writeAsVectorFormatV3(
        layer, str(tmp_path / "clicks.gpkg"), QgsProject.instance().transformContext(), options
    )
    found = run(
        "segmentprompts",
        INPUT=scene.path,
        MODEL="threshold",
        PROMPTS=str(tmp_path / "clicks.gpkg"),
        OUTPUT=str(tmp_path / "a.gpkg"),
    )
    command_line(
        "segment", scene.path, "--prompts", tmp_path / "clicks.gpkg", "-o", tmp_path / "c.gpkg", "--model", "threshold"
    )
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")


def test_only_selected_prompts_are_used_and_keep_their_numbers(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:4326", ["roof", "pond", "field"])
    layer.selectByIds([3])
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=selected, OUTPUT="memory:")["OUTPUT"]
    (only,) = found.getFeatures()
    assert same_shape(only.geometry(), outlines(scene, "field")[0])
    assert only["prompt_id"] == "3"


def test_prompts_that_are_not_saved_yet_are_used(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, scene.authid, ["roof"])
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("pond"))))
    layer.addFeature(feature)
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, OUTPUT="memory:")
    assert found["COUNT"] == 2
    layer.rollBack()


@pytest.mark.parametrize("stands_for", [0, 1], ids=["box", "mask"])
def test_polygons_as_prompts_even_curved_and_with_heights(run, scene_file, stands_for):
    scene = scene_file()
    layer = QgsVectorLayer(f"CurvePolygonZ?crs={scene.authid}", "sketch", "memory")
    (roof,) = outlines(scene, "roof")
    x, y = scene.spot("roof")
    feature = QgsFeature(layer.fields())
    feature.setGeometry(
        QgsGeometry.fromWkt(
            f"CurvePolygonZ(CircularStringZ({x - 10} {y} 5, {x} {y + 10} 5, {x + 10} {y} 5, "
            f"{x} {y - 10} 5, {x - 10} {y} 5))"
        )
    )
    layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer)
    found = run(
        "segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, POLYGONS=stands_for, OUTPUT="memory:"
    )["OUTPUT"]
    (only,) = found.getFeatures()
    assert same_shape(only.geometry(), roof)


def test_a_prompt_outside_is_an_error_or_left_out(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, scene.authid, ["roof"])
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*scene.at(-500, -500))))
    layer.dataProvider().addFeature(feature)
    what = {"INPUT": scene.path, "MODEL": "threshold", "PROMPTS": layer, "OUTPUT": "memory:"}
    with pytest.raises(QgsProcessingException, match="outside"):
        run("segmentprompts", **what)
    assert run("segmentprompts", SKIP_OUTSIDE=True, **what)["COUNT"] == 1
