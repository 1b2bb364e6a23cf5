"""Refusals of an output: each says what it found, and carries a code and values for programs."""

import re

import pytest
from export_cases import COLUMNS, UTM33, contents, pixel_polygons, target_at, write
from pyproj import CRS

from geosam.errors import ExportError, GeosamError, OutputExists, UnknownFormat, UsageError
from geosam.vector.checks import check_existing, check_facts, check_folder, check_inputs, check_output
from geosam.vector.formats import FORMATS, format_of
from geosam.vector.schema import Column

LOCAL = CRS('LOCAL_CS["local",UNIT["metre",1]]')
MANY = [Column(f"c{i}", "int") for i in range(256)]
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def refusal(path, crs=UTM33, columns=COLUMNS, **options):
    with pytest.raises(GeosamError) as caught:
        check_output(path, crs, columns, overwrite=options.pop("overwrite", False), **options)
    return caught.value


def folder_as_output(folder):
    (folder / "out.gpkg").mkdir()
    return refusal(folder / "out.gpkg")


def existing_output(folder):
    write(target_at(folder / "out.gpkg"), pixel_polygons(1))
    return refusal(folder / "out.gpkg")


def input_as_output(folder):
    write(target_at(folder / "out.gpkg"), pixel_polygons(1))
    return refusal(folder / "out.gpkg", inputs=[folder / "out.gpkg"])


def damaged_output(folder):
    write(target_at(folder / "out.gpkg"), pixel_polygons(9))
    data = (folder / "out.gpkg").read_bytes()
    (folder / "out.gpkg").write_bytes(data[:5000])
    return refusal(folder / "out.gpkg", overwrite=True)


def archive_mark(folder):
    (folder / "a!").mkdir()
    return refusal(folder / "a!" / "out.gpkg")


REFUSALS = {
    "unknown-format": lambda folder: refusal(folder / "out.txt"),
    "output-folder-missing": lambda folder: refusal(folder / "none" / "out.gpkg"),
    "output-no-file": folder_as_output,
    "output-exists": existing_output,
    "output-is-input": input_as_output,
    "existing-output-damaged": damaged_output,
    "output-path-with-archive-mark": archive_mark,
    "format-needs-wgs84": lambda folder: refusal(folder / "out.geojson", crs=LOCAL),
    "too-many-columns": lambda folder: refusal(folder / "out.shp", columns=MANY),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_has_a_code_a_remedy_and_no_flag(tmp_path, code):
    error = REFUSALS[code](tmp_path)
    assert error.code == code
    assert ": found " in error.message
    assert error.message.endswith(".")
    assert error.remedy.endswith(".")
    assert not FLAG.search(str(error))
    assert "\n" not in str(error)


def test_refusals_carry_the_values_that_a_program_needs(tmp_path):
    columns = REFUSALS["too-many-columns"](tmp_path)
    assert columns.values == {"columns": 256, "most": 255}
    assert REFUSALS["unknown-format"](tmp_path).values == {"extension": ".txt"}
    missing = REFUSALS["output-folder-missing"](tmp_path)
    assert missing.values == {"folder": str(tmp_path / "none")}


def test_an_output_that_may_be_written_leaves_no_trace(tmp_path):
    for extension in FORMATS:
        check_output(tmp_path / f"out{extension}", UTM33, COLUMNS, overwrite=False)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["out.GPKG", "a.b.Shp", "out.geoParquet"])
def test_extensions_are_read_without_regard_to_case(tmp_path, name):
    assert format_of(tmp_path / name) is FORMATS[(tmp_path / name).suffix.lower()]


@pytest.mark.parametrize("name", ["out", "out.", ".gpkg", "out.gpkg.bak"])
def test_a_name_without_a_known_extension_is_refused(tmp_path, name):
    with pytest.raises(UnknownFormat, match=r"expected one of \.gpkg \(GeoPackage\), \.geojson"):
        format_of(tmp_path / name)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_an_input_is_recognised_under_another_name(tmp_path, link):
    scene = tmp_path / "scene.tif"
    scene.write_bytes(b"pixels")
    getattr(tmp_path / "out.gpkg", link)(scene)
    with pytest.raises(UsageError, match="the output is an input") as caught:
        check_inputs(tmp_path / "out.gpkg", [tmp_path / "other.tif", scene])
    assert caught.value.values == {"source": str(scene)}
    check_inputs(tmp_path / "new.gpkg", [scene])


def test_a_file_that_may_be_replaced_passes_and_one_that_may_not_is_refused(tmp_path):
    path = tmp_path / "out.gpkg"
    check_existing(path, overwrite=False)
    path.touch()
    check_existing(path, overwrite=True)
    with pytest.raises(OutputExists, match="`overwrite=True`"):
        check_existing(path, overwrite=False)


def test_the_folder_of_a_link_is_that_of_its_target(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / "out.gpkg"
    link.symlink_to(tmp_path / "data" / "out.gpkg")
    check_folder(link)
    link.unlink()
    link.symlink_to(tmp_path / "none" / "out.gpkg")
    with pytest.raises(ExportError, match=r"found no folder .*none"):
        check_folder(link)


@pytest.mark.parametrize("extension", [".gpkg", ".geojson", ".shp", ".parquet", ".fgb"])
def test_a_finished_file_is_compared_with_what_was_written(tmp_path, extension):
    target = target_at(tmp_path / f"out{extension}")
    write(target, pixel_polygons(7))
    form = format_of(target.path)
    check_facts(form, target, target.path, 7)
    with pytest.raises(ExportError, match="found 7 features, expected 8") as caught:
        check_facts(form, target, target.path, 8)
    assert caught.value.values == {"features": 7, "expected": 8}
    if extension != ".geojson":  # always longitude and latitude
        other = target_at(target.path, crs=CRS(32634))
        with pytest.raises(ExportError, match=r"found 'WGS 84 / UTM zone 33N' when read back, expected '.*34N'"):
            check_facts(form, other, target.path, 7)
