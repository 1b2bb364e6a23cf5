"""What the plugin remembers from one session to the next: QgsSettings under `geosam/`, with types.

A class of settings lists what it has::

    class ToolSettings(Settings):
        hover = Flag("hover", True)

A value that is damaged, or of another type, reads as the default.
"""

from __future__ import annotations

import math

from qgis.core import QgsSettings

#: Under which all keys stand.
GROUP = "geosam"


class _Setting:
    """A value that is read from, and written to, the settings as it is used."""

    def __init__(self, key: str, default: object) -> None:
        self.key = f"{GROUP}/{key}"
        self.default = default

    def _write(self, value: object) -> None:
        QgsSettings().setValue(self.key, value)

    def _read(self) -> object:
        return QgsSettings().value(self.key, self.default)


class Text(_Setting):
    """A text."""

    def __init__(self, key: str, default: str = "") -> None:
        super().__init__(key, default)

    def __get__(self, owner: object, kind: type | None = None) -> str:
        value = self._read()
        return value if isinstance(value, str) else str(self.default)

    def __set__(self, owner: object, value: str) -> None:
        self._write(value)


class Number(_Setting):
    """A number that is finite, and at least `least`."""

    def __init__(self, key: str, default: float, least: float = 0.0) -> None:
        super().__init__(key, default)
        self.least = least

    def __get__(self, owner: object, kind: type | None = None) -> float:
        default = float(str(self.default))
        try:
            value = float(str(self._read()))
        except ValueError:
            return default
        return value if math.isfinite(value) and value >= self.least else default

    def __set__(self, owner: object, value: float) -> None:
        self._write(float(value))


class Flag(_Setting):
    """Yes or no."""

    def __init__(self, key: str, default: bool = False) -> None:  # noqa: FBT001, FBT002 - the value of a setting
        super().__init__(key, default)

    def __get__(self, owner: object, kind: type | None = None) -> bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(str(self._read()).lower(), bool(self.default))

    def __set__(self, owner: object, value: bool) -> None:  # noqa: FBT001
        self._write(bool(value))


class Settings:
    """What the engine remembers."""

    worker = Text("worker")
    """Path of a geosam program, a Python interpreter or the folder of an environment; empty: found."""
    python = Text("python")
    """Interpreter or uv with which an environment is made; empty: found."""
    packages = Text("packages")
    """Where an environment is installed from: empty for the package index, else its address, a wheel or a folder."""
