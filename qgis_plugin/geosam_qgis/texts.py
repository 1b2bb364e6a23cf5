"""The plugin's texts in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """The translation of a text, or the text itself."""
    return QCoreApplication.translate("geosam", text)


def granularity_text(granularity: str) -> str:
    """A level of detail in words."""
    words = {"auto": tr("automatic"), "part": tr("part"), "whole": tr("whole"), "group": tr("group")}
    return words[granularity]
