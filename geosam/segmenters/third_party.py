"""Families of models that other packages offer, found by their entry points."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from geosam.segmenters.family import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

#: Group of the entry points; see :mod:`geosam.segmenters.family`.
GROUP = "geosam.families"


class ThirdParty(NamedTuple):
    """Entry points by name, sorted."""

    families: Mapping[str, Family]
    """Families that could be imported."""
    broken: Mapping[str, str]
    """Sentence about each entry point that could not be imported or is no family."""


@cache
def third_party() -> ThirdParty:
    """Import the families of all installed packages, once in this process."""
    from importlib.metadata import entry_points  # takes a while, and most processes use geosam's own models only

    families: dict[str, Family] = {}
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            families[point.name] = _loaded(point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing the code of others can fail in any way
            package = point.dist.name if point.dist is not None else point.value
            lines = str(error).splitlines()
            reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
            broken[point.name] = f"the models of {point.name!r} cannot be used: package {package}: {reason}."
    return ThirdParty(families, broken)


def _loaded(point: EntryPoint) -> Family:
    family = point.load()
    if not isinstance(family, Family):
        raise TypeError(f"found {type(family).__name__}, expected a Family")
    return family
