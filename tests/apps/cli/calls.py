"""What the tests of the command line share: how a call is made and what it leaves behind."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import geosam

#: The command as a user's shell starts it ...
GEOSAM = [sys.executable, "-m", "geosam"]
#: ... with the package that is being tested, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(geosam.__file__).parents[1])}


@dataclass(frozen=True)
class Outcome:
    """What a call left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    def error(self):
        """The one line on stderr that starts with ``error: ``, without it."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in self.err
        return line.removeprefix("error: ")


#: Rectangles (x, y, width, height) of the tiny scene, each of its own colour on black.
RECTANGLES = ((4, 3, 20, 10), (30, 6, 25, 30), (8, 20, 15, 18))


def centre(rectangle):
    """Map coordinates of the middle of one of the rectangles, as the command line takes them."""
    x, y, width, height = rectangle
    return f"{5e5 + 2 * (x + width / 2)},{5e6 - 2 * (y + height / 2)}"
