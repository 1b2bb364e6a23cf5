"""A message bar, an interface of QGIS and raster layers for the tests of whole layers."""

from qgis.core import (
    QgsProject,
    QgsRasterLayer,
)


class Bar:
    """A message bar that keeps its texts."""

    def __init__(self):
        self.texts = []

    def pushMessage(self, title, text, level, duration):
        self.texts.append(text)


class Interface:
    """The part of QGIS's interface that whole layers use."""

    def __init__(self, canvas):
        self.canvas, self.bar, self.active = canvas, Bar(), None

    def mapCanvas(self):
        return self.canvas

    def messageBar(self):
        return self.bar

    def mainWindow(self):
        return self.canvas.window()

    def activeLayer(self):
        return self.active


def raster(scene, name="ortho"):
    layer = QgsRasterLayer(scene.path, name)
    assert layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    return layer
