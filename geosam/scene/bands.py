"""Bands: the choice of the bands that make the picture, and of the rule for valid pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from geosam.errors import UnsupportedBands, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from geosam._arrays import Bytes

#: Share of the sampled values of an alpha band that must be 0 or opaque; antialiased edges are the rest.
MIN_ALPHA_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class BandPlan:
    """Plan that turns the pixels of a file into a picture and a valid mask."""

    indexes: tuple[int, ...]
    """Bands of the picture, counted from 1: three, or one that is shown in grey or through its palette."""
    nodata: tuple[float | None, ...]
    """Value of each of these bands that means no data, as the band's type stores it."""
    reason: str
    """Reason for these bands, in words."""
    is_picture: bool
    """True for uint8 values that are a picture as they are."""
    alpha: int | None = None
    """Band of the alpha channel."""
    mask_bands: tuple[int, ...] = ()
    """Bands whose mask bands decide which pixels are valid; one stands for all where the file has one mask."""
    palette: Bytes | None = None
    """Red, green, blue and alpha (4, N) of every value of a paletted band."""
    warnings: tuple[str, ...] = ()
    """Notes for the user."""

    @property
    def validity(self) -> str:
        """Name what decides which pixels are valid, in words."""
        by_nodata = any(value is not None for value in self.nodata)
        if self.mask_bands:
            return "mask band"
        rules = [f"alpha band {self.alpha}"] * (self.alpha is not None) + ["nodata value"] * by_nodata
        return " and ".join(rules) or "all valid"


def plan_bands(ds: DatasetReader, name: str, bands: Sequence[int] | None) -> BandPlan:
    """Choose the bands of an open dataset: the user's, or by colour interpretation.

    Raises:
        UnsupportedBands: nothing in the file chooses bands, or their values are no picture (complex).
        UsageError: `bands` names a band that the file does not have, or other than one or three bands.
    """
    if not ds.count:
        raise UnsupportedBands(
            f"the scene has no bands: {name}: found a container with {len(ds.subdatasets)} subdatasets, expected a "
            "raster.",
            remedy="Extract one with gdal_translate.",
            code="scene-is-a-container",
            scene=name,
            subdatasets=len(ds.subdatasets),
        )
    warnings: list[str] = []
    chosen, reason = _automatic(ds, name, warnings) if bands is None else _checked(ds, name, bands)
    for index in chosen:
        _check_dtype(ds.dtypes[index - 1], name, index)
    mask_bands = _mask_bands(ds, chosen)  # a mask band takes precedence over nodata and alpha, as in GDAL
    nodata = tuple(_as_stored(ds.nodatavals[i - 1], ds.dtypes[i - 1]) for i in chosen)
    if mask_bands and any(value is not None for value in nodata):
        warnings.append(f"{name} has a mask band and a nodata value: the mask band decides which pixels are valid")
    alpha = next((i for i, c in enumerate(ds.colorinterp, 1) if c == ColorInterp.alpha and i not in chosen), None)
    return BandPlan(
        indexes=chosen,
        nodata=(None,) * len(chosen) if mask_bands else nodata,
        reason=reason,
        is_picture=_is_picture(ds, chosen, alpha),
        alpha=None if mask_bands else alpha,
        mask_bands=mask_bands,
        palette=_palette(ds, chosen),
        warnings=tuple(warnings),
    )


def is_alpha(sample: NDArray[Any]) -> bool:
    """Return True if a sample of values looks like an alpha channel: nearly all 0 or opaque.

    The test is needed because near infrared is often tagged alpha.
    """
    # 255 is opaque in wider types, too: many programs widen 8-bit alpha without scaling it.
    opaque = (255,) if sample.dtype.kind not in "iu" else (255, np.iinfo(sample.dtype).max)
    return not sample.size or float(np.isin(sample, (0, *opaque)).mean()) >= MIN_ALPHA_SHARE


_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
#: Remedy for bands that nothing in the file chooses.
_NAME_BANDS = "Name one or three with `bands`, for example `bands=(3, 2, 1)`."


def _checked(ds: DatasetReader, name: str, bands: Sequence[int]) -> tuple[tuple[int, ...], str]:
    if len(bands) not in (1, 3):
        raise UsageError(
            f"not one or three bands: `bands`: found {','.join(map(str, bands)) or 'none'}, expected one or three "
            "bands.",
            remedy=_NAME_BANDS,
            code="bands-not-one-or-three",
            bands=list(bands),
        )
    missing = [band for band in bands if not 1 <= band <= ds.count]
    if missing:
        raise UsageError(
            f"a band is missing: `bands`: found {missing[0]}, expected bands 1 to {ds.count} of {name}.",
            remedy=_NAME_BANDS,
            code="band-missing",
            scene=name,
            band=missing[0],
            count=ds.count,
        )
    return tuple(int(band) for band in bands), "as chosen by the user"


def _automatic(ds: DatasetReader, name: str, warnings: list[str]) -> tuple[tuple[int, ...], str]:
    color, count = ds.colorinterp, ds.count
    if all(c in color for c in _RGB):
        return tuple(color.index(c) + 1 for c in _RGB), "red, green and blue by colour interpretation"
    # Many programs write red, green and blue without their colour interpretation.
    data = [i for i, c in enumerate(color, 1) if c != ColorInterp.alpha]
    if len(data) == 1:
        return (data[0],), "palette" if color[data[0] - 1] == ColorInterp.palette else "the only band, shown in grey"
    if len(data) == 3:
        return tuple(data), "the only three bands, taken for red, green and blue"
    if count == 4:
        warnings.append(
            f"{name} has four bands without colour interpretation: bands 1, 2, 3 are taken for red, green, blue"
        )
        return (1, 2, 3), "the first three of four bands without colour interpretation"
    raise UnsupportedBands(
        f"the bands of the picture are not clear: {name}: found {count} bands, expected red, green and blue by colour "
        "interpretation.",
        remedy=_NAME_BANDS,
        code="bands-unclear",
        scene=name,
        count=count,
    )


def _check_dtype(dtype: str, name: str, band: int) -> None:
    if dtype.startswith("complex"):
        raise UnsupportedBands(
            f"a band has complex values: {name}, band {band}: found {dtype}, expected real numbers.",
            remedy="Convert to amplitude first (gdal_calc).",
            code="complex-values",
            scene=name,
            band=band,
        )
    if np.dtype(dtype).kind not in "iuf":
        raise UnsupportedBands(
            f"a band has an unknown data type: {name}, band {band}: found {dtype}, expected integers or real numbers.",
            remedy="Convert it with gdal_translate -ot.",
            code="data-type-unknown",
            scene=name,
            band=band,
        )


def _mask_bands(ds: DatasetReader, chosen: tuple[int, ...]) -> tuple[int, ...]:
    flags = set(ds.mask_flag_enums[chosen[0] - 1])  # GDAL names nodata and alpha here, too, if one is the mask
    if MaskFlags.per_dataset in flags and not flags & {MaskFlags.alpha, MaskFlags.nodata}:
        return chosen[:1]
    return () if flags else chosen


def _as_stored(nodata: float | None, dtype: str) -> float | None:
    """Return the nodata value as the type of the band holds it; None if it cannot, or if it is not a number."""
    if nodata is None or not np.isfinite(nodata):
        return None
    kind = np.dtype(dtype)
    if kind.kind == "f":  # a nodata text of -3.4e38 is a float64, the pixels hold the nearest float32
        with np.errstate(over="ignore"):
            return float(kind.type(nodata))
    limits = np.iinfo(kind)
    return int(nodata) if nodata == int(nodata) and limits.min <= nodata <= limits.max else None


def _is_picture(ds: DatasetReader, chosen: tuple[int, ...], alpha: int | None) -> bool:
    """Return True for uint8 bands that need no stretch: a palette; red, green and blue; or all bands of the file."""
    color = [ds.colorinterp[i - 1] for i in chosen]
    full_range = all(
        ds.dtypes[i - 1] == "uint8" and int(ds.tags(i, ns="IMAGE_STRUCTURE").get("NBITS", 8)) == 8 for i in chosen
    )
    return color == [ColorInterp.palette] or (
        full_range and (color == list(_RGB) or len(chosen) == ds.count - (alpha is not None))
    )


def _palette(ds: DatasetReader, chosen: tuple[int, ...]) -> Bytes | None:
    if [ds.colorinterp[i - 1] for i in chosen] != [ColorInterp.palette]:
        return None
    entries = ds.colormap(chosen[0])
    table = np.zeros((4, max(256, max(entries) + 1)), np.uint8)
    for value, rgba in entries.items():
        table[:, value] = rgba
    return table
