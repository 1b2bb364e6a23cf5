"""The base of all algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingParameterDefinition
from qgis.PyQt.QtGui import QIcon

from geosam_qgis.processing.worker_call import missing_worker


def icon_path(name: str) -> str:
    """Return the path of an icon of the plugin."""
    return str(Path(__file__).parents[1] / "icons" / f"{name}.svg")


class GeosamAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that a worker carries out; subclasses give names, help and tags."""

    NAME = ""
    """Id of the algorithm: the part of `geosam:segment` after the colon."""
    ICON = "geosam"
    """Name of the icon's file without its extension."""

    def name(self) -> str:
        """Return the id for models and scripts, which is never translated."""
        return self.NAME

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Return a new algorithm; QGIS makes one for each run."""
        return type(self)()

    def icon(self) -> QIcon:
        """Return the icon in the toolbox."""
        return QIcon(icon_path(self.ICON))

    def svgIconPath(self) -> str:
        """Return the path of the icon in the model designer."""
        return icon_path(self.ICON)

    def canExecute(self) -> tuple[bool, str]:
        """Return True if there is a worker, else False and how to get one."""
        problem = missing_worker()
        return not problem, problem

    def add(self, parameter: QgsProcessingParameterDefinition, text: str = "", *, advanced: bool = False) -> None:
        """Declare a parameter with a help text."""
        if text:
            parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)

    def number(self, parameters: dict[str, Any], name: str, context: Any) -> float | None:
        """Return the value of an optional number; None if it is empty."""
        return None if parameters.get(name) is None else self.parameterAsDouble(parameters, name, context)
