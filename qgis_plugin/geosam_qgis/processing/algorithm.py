"""What all algorithms share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingParameterDefinition
from qgis.PyQt.QtGui import QIcon

from geosam_qgis.processing.worker_call import missing_worker


def icon_path(name: str) -> str:
    """The file of an icon of the plugin."""
    return str(Path(__file__).parents[1] / "icons" / f"{name}.svg")


class GeosamAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that a worker carries out; subclasses name themselves in the four texts."""

    NAME = ""
    """The part of `geosam:segment` after the colon."""
    ICON = "geosam"
    """Name of the icon's file."""

    def name(self) -> str:
        """For models and scripts; never translated."""
        return self.NAME

    def createInstance(self) -> QgsProcessingAlgorithm:
        """QGIS wants a new one for each run."""
        return type(self)()

    def icon(self) -> QIcon:
        """In the toolbox."""
        return QIcon(icon_path(self.ICON))

    def svgIconPath(self) -> str:
        """In the designer of models."""
        return icon_path(self.ICON)

    def canExecute(self) -> tuple[bool, str]:
        """Whether there is a worker; if not, how to get one."""
        problem = missing_worker()
        return not problem, problem

    def add(self, parameter: QgsProcessingParameterDefinition, text: str = "", *, advanced: bool = False) -> None:
        """Declare a parameter, with a help text."""
        if text:
            parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)

    def number(self, parameters: dict[str, Any], name: str, context: Any) -> float | None:
        """The value of an optional number; None where it was left empty."""
        return None if parameters.get(name) is None else self.parameterAsDouble(parameters, name, context)
