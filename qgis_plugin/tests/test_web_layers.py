"""Layers as sources, and pictures of web layers, from servers on this machine."""

import math
import shutil
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY, QgsProject, QgsRasterLayer, QgsRectangle
from qgis.PyQt.QtCore import QBuffer, QIODevice, QRectF
from qgis.PyQt.QtGui import QColor, QImage, QPainter

from geosam_qgis.jobs.layer_run import LayerJob
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, _path_of, crs_text, source_of
from geosam_qgis.jobs.web_layers import MAX_PIXELS, Pictures, frame_of, metres_per_unit

#: A red roof on grey ground, in EPSG:3857, and where there is nothing at all.
ROOF = QgsRectangle(1_670_100, 6_210_100, 1_670_160, 6_210_140)
VIEW = QgsRectangle(1_670_000, 6_210_000, 1_670_300, 6_210_200)
HALF = 20037508.342789244

CAPABILITIES = """<?xml version="1.0" encoding="UTF-8"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms" xmlns:xlink="http://www.w3.org/1999/xlink">
<Service><Name>WMS</Name><Title>test</Title></Service>
<Capability><Request>
<GetCapabilities><Format>text/xml</Format>
<DCPType><HTTP><Get><OnlineResource xlink:href="{url}"/></Get></HTTP></DCPType></GetCapabilities>
<GetMap><Format>image/png</Format>
<DCPType><HTTP><Get><OnlineResource xlink:href="{url}"/></Get></HTTP></DCPType></GetMap>
</Request><Exception><Format>XML</Format></Exception>
<Layer><Title>all</Title><CRS>EPSG:3857</CRS>
<Layer><Name>roofs</Name><Title>roofs</Title><CRS>EPSG:3857</CRS>
<EX_GeographicBoundingBox><westBoundLongitude>14</westBoundLongitude><eastBoundLongitude>16</eastBoundLongitude>
<southBoundLatitude>48</southBoundLatitude><northBoundLatitude>49</northBoundLatitude></EX_GeographicBoundingBox>
<BoundingBox CRS="EPSG:3857" minx="1558472" miny="6106854" maxx="1781111" maxy="6274861"/>
</Layer></Layer></Capability></WMS_Capabilities>"""


def drawn(box, width, height):
    """A PNG of the ground and the roof within bounds in EPSG:3857."""
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor(90, 90, 90))
    painter = QPainter(image)
    scale = width / box.width()
    left, top = (ROOF.xMinimum() - box.xMinimum()) * scale, (box.yMaximum() - ROOF.yMaximum()) * scale
    roof = QRectF(left, top, ROOF.width() * scale, ROOF.height() * scale)
    painter.fillRect(roof.toAlignedRect(), QColor(220, 60, 50))
    painter.end()
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data())


class Handler(BaseHTTPRequestHandler):
    """Tiles under /z/x/y.png, a WMS under /wms."""

    def do_GET(self):
        server, parts = self.server, urlsplit(self.path)
        if server.hold is not None:
            server.hold.wait(30)
        if server.broken:
            self.send_error(500)
            return
        query = {name.upper(): values[0] for name, values in parse_qs(parts.query).items()}
        if query.get("REQUEST") == "GetCapabilities":
            self.answer(CAPABILITIES.format(url=f"http://127.0.0.1:{server.server_port}/wms?").encode(), "text/xml")
        elif query.get("REQUEST") == "GetMap":
            box = QgsRectangle(*map(float, query["BBOX"].split(",")))
            self.answer(drawn(box, int(query["WIDTH"]), int(query["HEIGHT"])), "image/png")
        else:
            z, x, y = map(int, parts.path.strip("/").removesuffix(".png").split("/"))
            server.zooms.add(z)
            side = 2 * HALF / 2**z
            left, top = -HALF + x * side, HALF - y * side
            self.answer(drawn(QgsRectangle(left, top - side, left + side, top), 256, 256), "image/png")

    def answer(self, data, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server(qgis_app):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.zooms, server.hold, server.broken = set(), None, False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    if server.hold is not None:
        server.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tiles(server, qgis_new_project):
    uri = f"type=xyz&url=http://127.0.0.1:{server.server_port}/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmin=0&zmax=21"
    layer = QgsRasterLayer(uri, "tiles", "wms")
    assert layer.isValid()
    return layer


@pytest.fixture
def wms(server, qgis_new_project):
    uri = f"crs=EPSG:3857&format=image/png&layers=roofs&styles&url=http://127.0.0.1:{server.server_port}/wms"
    layer = QgsRasterLayer(uri, "wms roofs", "wms")
    assert layer.isValid(), layer.error().message()
    return layer


@pytest.fixture
def pictures(qgis_app):
    pictures = Pictures()
    yield pictures
    pictures.unload()


@pytest.fixture
def take(pictures, wait):
    """`take(layer, extent, resolution)`: the Source, or the reason."""

    def go(*arguments):
        found = []
        pictures.take(*arguments, found.append, found.append)
        assert found == []  # always later
        wait(lambda: found)
        assert len(found) == 1
        return found[0]

    return go


def extent_of_colour(path, red):
    """Bounds in the map of the pixels with this value of red."""
    layer = QgsRasterLayer(str(path), "picture")
    provider = layer.dataProvider()
    block = provider.block(1, layer.extent(), layer.width(), layer.height())
    inside = [
        (row, col) for row in range(layer.height()) for col in range(layer.width()) if block.value(row, col) == red
    ]
    top, bottom = min(row for row, _ in inside), max(row for row, _ in inside) + 1
    left, right = min(col for _, col in inside), max(col for _, col in inside) + 1
    x, y = layer.rasterUnitsPerPixelX(), layer.rasterUnitsPerPixelY()
    box = layer.extent()
    return QgsRectangle(
        box.xMinimum() + left * x, box.yMaximum() - bottom * y, box.xMinimum() + right * x, box.yMaximum() - top * y
    )


def corners(box):
    return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]


@pytest.mark.parametrize("kind", ["tiles", "wms"])
def test_the_picture_of_a_service_is_in_its_place_at_the_requested_resolution(kind, take, request):
    layer = request.getfixturevalue(kind)
    source = take(layer, VIEW, 0.5)
    picture = QgsRasterLayer(source.path, "picture")
    assert picture.crs().authid() == "EPSG:3857"
    pixel = 0.5 / math.cos(math.radians(48.6))
    assert picture.rasterUnitsPerPixelX() == pytest.approx(pixel, rel=3e-3)
    assert corners(picture.extent()) == pytest.approx(corners(VIEW), abs=pixel)
    assert corners(extent_of_colour(source.path, 220)) == pytest.approx(corners(ROOF), abs=2 * pixel)
    assert source.options == {}


def test_the_resolution_decides_on_the_zoom_level(server, tiles, take):
    take(tiles, VIEW, 0.5)
    take(tiles, VIEW, 4.0)
    fine, coarse = max(server.zooms), min(server.zooms)
    assert fine - coarse == 3


def test_a_picture_can_be_segmented(tiles, take, client, wait, tmp_path):
    source = take(tiles, VIEW, 0.5)
    done = []
    params = {"path": source.path, "model": {"name": "threshold"}, "out": str(tmp_path / "out.gpkg")}
    client.request("run", params, done.append, done.append)
    wait(lambda: done)
    assert done[0]["count"] >= 2


def test_a_layer_of_a_service_is_segmented_as_a_whole(tiles, worker_command, map_canvas, tmp_path, wait):
    from test_whole_layer import Interface

    from geosam_qgis.jobs.whole_layer import WholeLayer

    iface, outcomes = Interface(map_canvas), []
    whole = WholeLayer(iface)
    whole.ended.connect(outcomes.append)
    whole.start(LayerJob(tiles, str(tmp_path / "found.gpkg"), "threshold", VIEW, None))
    wait(lambda: outcomes)
    assert "Enter a resolution" in outcomes[0].text
    whole.start(LayerJob(tiles, str(tmp_path / "found.gpkg"), "threshold", VIEW, 0.5))
    wait(lambda: len(outcomes) == 2)
    assert outcomes[1].state == "done", outcomes[1].text
    roof = ROOF.center()
    (found,) = [
        f for f in outcomes[1].layer.getFeatures() if f.geometry().contains(QgsPointXY(roof)) and f["area_m2"] < 3000
    ]
    assert corners(found.geometry().boundingBox()) == pytest.approx(corners(ROOF), abs=2)
    whole.unload()


def test_a_server_that_delivers_nothing_is_named(server, tiles, take):
    server.broken = True
    assert "sent no data" in take(tiles, VIEW, 0.5)


def test_too_much_is_a_clear_sentence(tiles, take):
    reason = take(tiles, tiles.extent(), 1.0)
    assert "at most 100 million" in reason
    assert "Zoom in" in reason


def test_an_extent_beside_the_layer_is_a_clear_sentence(wms, take):
    assert take(wms, QgsRectangle(0, 0, 100, 100), 1.0) == "wms roofs has no data here."


def test_a_picture_can_be_cancelled(server, tiles, pictures, wait):
    server.hold = threading.Event()
    found = []
    picture = pictures.take(tiles, VIEW, 0.5, found.append, found.append)
    picture.cancel()
    server.hold.set()
    wait(lambda: found)
    assert found == [""]
    picture.cancel()  # a second time, when all is over


def test_the_layer_may_be_removed_meanwhile(server, tiles, pictures, wait):
    QgsProject.instance().addMapLayer(tiles)
    server.hold = threading.Event()
    found = []
    pictures.take(tiles, VIEW, 0.5, found.append, found.append)
    QgsProject.instance().removeMapLayer(tiles.id())
    server.hold.set()
    wait(lambda: found)
    assert isinstance(found[0], RasterSource)


def test_pictures_go_with_the_project(tiles, take, pictures):
    source = take(tiles, VIEW, 1.0)
    assert Path(source.path).exists()
    QgsProject.instance().clear()
    assert not Path(source.path).parent.exists()


def test_pictures_go_with_the_plugin(tiles, wait, qgis_app):
    pictures, found = Pictures(), []
    pictures.take(tiles, VIEW, 1.0, found.append, found.append)
    wait(lambda: found)
    pictures.unload()
    assert not Path(found[0].path).parent.exists()


def test_the_frame_holds_the_extent_in_whole_pixels(tiles):
    width, height, bounds = frame_of(tiles, VIEW, 1.0)
    assert bounds.contains(VIEW)
    assert bounds.width() / width == pytest.approx(bounds.height() / height)
    assert bounds.width() - VIEW.width() < bounds.width() / width
    assert width * height < MAX_PIXELS


@pytest.mark.parametrize(
    ("authid", "x", "y", "metres"),
    [
        ("EPSG:32633", 500_000, 5_400_000, 1 / 0.9996),
        ("EPSG:3857", 1_670_000, 6_210_000, math.cos(math.radians(48.613))),
        ("EPSG:4326", 15, 0, math.sqrt(111_319.49 * 110_574.28)),
        ("EPSG:2263", 985_000, 200_000, 0.3048006),  # US survey feet
    ],
)
def test_metres_in_a_unit_are_those_on_the_ground(qgis_app, authid, x, y, metres):
    found = metres_per_unit(QgsCoordinateReferenceSystem(authid), QgsPointXY(x, y))
    assert found == pytest.approx(metres, rel=3e-3)


# Which layers are files


def as_layer(uri, name="raster"):
    layer = QgsRasterLayer(str(uri), name)
    assert layer.isValid(), uri
    return layer


def test_a_file_is_opened_as_it_is(scene_file):
    scene = scene_file()
    assert source_of(as_layer(scene.path)) == RasterSource(scene.path)


def test_a_vrt_is_a_file(scene_file, tmp_path):
    vrt = tmp_path / "all.vrt"
    subprocess.run(["gdalbuildvrt", "-q", vrt, scene_file("mercator").path], check=True, timeout=60)
    assert source_of(as_layer(vrt)) == RasterSource(str(vrt))


def test_parts_of_other_files_are_not_opened_but_can_be_exported(scene_file, tmp_path):
    scene = scene_file("mercator")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(scene.path, "scene.tif")
    shutil.copy(scene.path, tmp_path / "scene.tif")
    geopackage = tmp_path / "rasters.gpkg"
    for table in ("one", "two"):
        options = ["-q", "-of", "GPKG", "-co", f"RASTER_TABLE={table}", "-co", "APPEND_SUBDATASET=YES"]
        subprocess.run(["gdal_translate", *options, scene.path, geopackage], check=True, timeout=60)
    for uri in (f"/vsizip/{tmp_path / 'a.zip'}/scene.tif", f"GPKG:{geopackage}:two"):
        reason = source_of(as_layer(uri, "part"))
        assert isinstance(reason, UnusableLayer)
        assert reason.exportable
        assert "part is part of another file" in reason.text


def test_a_web_address_is_handed_on(qgis_app):
    assert _path_of("/vsicurl/https://example.org/ortho.tif") == "https://example.org/ortho.tif"
    assert _path_of("/vsicurl?pc_url_signing=yes&url=https%3A%2F%2Fexample.org%2Fortho.tif") is None


def test_services_are_no_files_but_can_be_exported(tiles, wms):
    for layer in (tiles, wms):
        reason = source_of(layer)
        assert reason.exportable
        assert "comes from a service" in reason.text


def test_the_crs_of_the_layer_is_handed_on_where_the_file_has_none(scene_file, tmp_path):
    worldfile = ["-q", "-co", "TFW=YES", "-co", "PROFILE=BASELINE"]
    subprocess.run(
        ["gdal_translate", *worldfile, scene_file("mercator").path, tmp_path / "bare.tif"], check=True, timeout=60
    )
    Path(tmp_path / "bare.tif.aux.xml").unlink(missing_ok=True)
    layer = as_layer(tmp_path / "bare.tif", "bare")
    layer.setCrs(QgsCoordinateReferenceSystem())
    assert source_of(layer) == UnusableLayer("bare has no CRS. Set it in the layer's properties.", exportable=False)
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    assert source_of(layer) == RasterSource(str(tmp_path / "bare.tif"), {"crs": "EPSG:3857"})


def test_a_layer_shown_in_another_crs_than_its_file_is_refused(scene_file):
    layer = as_layer(scene_file("mercator").path, "moved")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    reason = source_of(layer)
    assert not reason.exportable
    assert "The CRS of moved is EPSG:32633, but its file has EPSG:3857." in reason.text


def test_a_layer_that_cannot_be_read_is_refused(qgis_app):
    assert "cannot be read" in source_of(QgsRasterLayer("/nowhere.tif", "gone")).text


def test_a_crs_is_its_code_or_its_text(qgis_app):
    assert crs_text(QgsCoordinateReferenceSystem("EPSG:32633")) == "EPSG:32633"
    own = QgsCoordinateReferenceSystem.fromProj("+proj=laea +lat_0=10 +lon_0=20")
    assert crs_text(own).startswith("PROJCRS")
