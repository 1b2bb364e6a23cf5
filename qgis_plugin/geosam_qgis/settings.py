"""Values that the plugin stores between sessions: QgsSettings under `geosam/`, with types.

A class of settings lists its values::

    class ToolSettings(Settings):
        hover = Flag("hover", True)

A damaged value, or one of another type, reads as the default.
"""

from __future__ import annotations

import math

from qgis.core import QgsSettings

#: Common prefix of all keys.
GROUP = "geosam"


class _Setting:
    """A descriptor that reads its value from the settings, and writes it there."""

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
    """A finite number, at least `minimum`."""

    def __init__(self, key: str, default: float, minimum: float = 0.0) -> None:
        super().__init__(key, default)
        self.minimum = minimum

    def __get__(self, owner: object, kind: type | None = None) -> float:
        default = float(str(self.default))
        try:
            value = float(str(self._read()))
        except ValueError:
            return default
        return value if math.isfinite(value) and value >= self.minimum else default

    def __set__(self, owner: object, value: float) -> None:
        self._write(float(value))


class Flag(_Setting):
    """A boolean value."""

    def __init__(self, key: str, default: bool = False) -> None:  # noqa: FBT001, FBT002 - the value of a setting
        super().__init__(key, default)

    def __get__(self, owner: object, kind: type | None = None) -> bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(str(self._read()).lower(), bool(self.default))

    def __set__(self, owner: object, value: bool) -> None:  # noqa: FBT001
        self._write(bool(value))


class Settings:
    """Stored values of the engine."""

    worker = Text("worker")
    """Path of a geosam program, a Python interpreter or the folder of an environment; empty to search for one."""
    python = Text("python")
    """Path of a Python interpreter or of uv that makes environments; empty to search for one."""
    packages = Text("packages")
    """Source of packages: empty for PyPI, else the address of an index, a wheel file, or a folder of wheels."""
