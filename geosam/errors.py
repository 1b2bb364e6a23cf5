"""Everything geosam raises on purpose, with the exit code the command line ends in.

    GeosamError (1)
        UsageError (2)          UnknownFormat  UnknownModel  JournalMismatch
        SceneError (3)          UnreadableScene(OSError)  MissingCRS(ValueError)  UnsupportedBands(ValueError)
        PromptError (4)         PromptOutsideScene  CRSMismatch  EmptyPrompt
        ModelError (5)          DeviceUnavailable  DownloadFailed(OSError)
            CheckpointError (5) CheckpointNotFound(OSError)  UnreadableCheckpoint(OSError)  CheckpointMismatch
        ExportError (6)         OutputExists(FileExistsError)
        PartialResult (7)
        ResourceError (8)       OutOfMemory(MemoryError)  DiskFull  LockHeld  WorkerDied
        Interrupted (130)       Terminated (143)

The number in parentheses is the exit code; names behind it share it. A name in parentheses is a second base class,
so that ``except OSError`` works as for other libraries.

The classes tell who can act: the caller, the owner of the file, or the administrator of the machine.
A message has the form *what is wrong: where: found X, expected Y*, and a remedy tells the user what to do. Both name
parameters of the library in backticks (`overlap`) and never an option of a program. Command line, worker and plugin
word the remedy themselves, by the error's code and values.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class GeosamError(Exception):
    """Base of every error geosam raises on purpose.

    Args:
        message: what is wrong, where, what was found and what is expected; ends with a full stop.
        remedy: what the user can do, in a sentence.
        code: name of this situation, such as ``overlap-out-of-range``; by default the name of the class.
        values: the values in the sentences, so that a program can word them itself; ready for JSON.
    """

    exit_code: ClassVar[int] = 1
    """Code that the command line exits with."""
    code: str
    """Name of the situation, in kebab case."""
    message: str
    """The problem, without the remedy."""
    remedy: str
    """Advice to the user; empty if there is none."""
    values: dict[str, Any]
    """Values in the sentences, by name."""

    def __init__(self, message: str = "", *, remedy: str = "", code: str = "", **values: Any) -> None:
        super().__init__(f"{message} {remedy}" if remedy else message)
        self.message, self.remedy, self.values = message, remedy, values
        # "MissingCRS" becomes "missing-crs": the hyphen goes only between a small and a capital letter.
        self.code = code or re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()

    def __str__(self) -> str:
        # Classes that are also an OSError would print "[Errno ...]" if they had two arguments.
        return str(self.args[0]) if self.args else ""


class UsageError(GeosamError):
    """The call itself is wrong: an option, a combination of options, a name."""

    exit_code: ClassVar[int] = 2


class UnknownFormat(UsageError):
    """The output's file extension names no format that geosam writes."""


class UnknownModel(UsageError):
    """No model of that name is registered."""


class JournalMismatch(UsageError):
    """An unfinished run with other inputs or options owns the output."""


class SceneError(GeosamError):
    """The raster cannot be used as it is."""

    exit_code: ClassVar[int] = 3


class UnreadableScene(SceneError, OSError):
    """The file is missing, damaged, or not a raster."""


class MissingCRS(SceneError, ValueError):
    """The raster has no usable georeference."""


class UnsupportedBands(SceneError, ValueError):
    """The bands or their data type cannot be turned into an RGB picture."""


class PromptError(GeosamError):
    """A prompt cannot be used as it is."""

    exit_code: ClassVar[int] = 4


class PromptOutsideScene(PromptError):
    """A prompt lies outside the raster."""


class CRSMismatch(PromptError):
    """The coordinates of a prompt or a layer do not fit the CRS that it states, or it states none."""


class EmptyPrompt(PromptError):
    """A prompt has nothing that could select an object."""


class ModelError(GeosamError):
    """A model cannot be loaded or run."""

    exit_code: ClassVar[int] = 5


class DeviceUnavailable(ModelError):
    """The requested device does not exist, or the model cannot use it."""


class DownloadFailed(ModelError, OSError):
    """A checkpoint cannot be fetched: no network, an unexpected answer, or a folder that cannot be written."""


class CheckpointError(ModelError):
    """The file with a model's weights cannot be used as it is."""


class CheckpointNotFound(CheckpointError, OSError):
    """The checkpoint is in none of the places where geosam searches for it."""


class UnreadableCheckpoint(CheckpointError, OSError):
    """The file is damaged, unsafe, or no checkpoint."""


class CheckpointMismatch(CheckpointError):
    """The checkpoint is sound, but belongs to another model than the requested one."""


class ExportError(GeosamError):
    """The result cannot be written."""

    exit_code: ClassVar[int] = 6


class OutputExists(ExportError, FileExistsError):
    """The output exists and `overwrite` is not set."""


class PartialResult(GeosamError):
    """The run finished, but some tiles failed and are missing from the result."""

    exit_code: ClassVar[int] = 7


class ResourceError(GeosamError):
    """The machine ran out of something."""

    exit_code: ClassVar[int] = 8


class OutOfMemory(ResourceError, MemoryError):
    """An allocation failed."""


class DiskFull(ResourceError):
    """No space is left where the result or its journal is written."""


class LockHeld(ResourceError):
    """Another run is writing the same output."""


class WorkerDied(ResourceError):
    """A worker process ended without an answer, twice for the same tile."""


class Interrupted(GeosamError):
    """The user pressed Ctrl-C (SIGINT)."""

    exit_code: ClassVar[int] = 130


class Terminated(Interrupted):
    """The system asked the process to end (SIGTERM)."""

    exit_code: ClassVar[int] = 143
