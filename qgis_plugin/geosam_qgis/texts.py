"""Texts of the plugin in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """Return the translation of a text, or the text itself."""
    return QCoreApplication.translate("geosam", text)


def granularity_text(granularity: str) -> str:
    """Return the name of a level of detail in the user's language."""
    names = {"auto": tr("automatic"), "part": tr("part"), "whole": tr("whole"), "group": tr("group")}
    return names[granularity]
