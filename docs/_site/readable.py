"""An extension of Griffe, which reads the docstrings for the site: makes them Markdown, and defaults values."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parents[2]))

from geosam import options

#: A role of reStructuredText, as docstrings use it: :class:`Scene`.
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")


def markdown(text: str) -> str:
    """Return a docstring without roles and double colons."""
    return re.sub(r"::$", ":", ROLE.sub(r"`\1`", text), flags=re.MULTILINE)


def value_of(expression: str) -> str:
    """Return the value of a default that a class takes from the table of options."""
    found = re.fullmatch(r"_DEFAULTS\[['\"](\w+)['\"]\]", expression)
    return repr(options.defaults(options.RUN)[found[1]]) if found else expression


class Readable(griffe.Extension):
    """Rewrites docstrings and defaults before they are parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one object."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
        if obj.is_attribute and obj.value is not None:
            obj.value = value_of(str(obj.value))
