"""Scores of an evaluation, as numbers and in words."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class SegmentationScore:
    """Over- and under-segmentation after Clinton et al. 2010 (doi:10.14358/PERS.76.3.289).

    Means over the reference objects x that share area with a predicted object; y is the predicted object of best IoU.
    """

    over: float | None
    """Mean of 1 - |x & y| / |x|: the share of x outside y."""
    under: float | None
    """Mean of 1 - |x & y| / |y|: the share of y outside x."""
    error: float | None
    """Mean of the root mean square of the two (D in the paper)."""


@dataclass(frozen=True)
class BoundaryScore:
    """Agreement of outlines, in the manner of Martin et al. 2004 (doi:10.1109/TPAMI.2004.1273918)."""

    precision: float | None
    """Share of the length of predicted outlines within the tolerance of a reference outline."""
    recall: float | None
    """Share of the length of reference outlines within the tolerance of a predicted outline."""
    f1: float | None
    """Harmonic mean of the two."""
    tolerance_m: float
    """Tolerance in ground metres."""


@dataclass(frozen=True)
class ClassScore:
    """Score of the reference objects of one class."""

    reference: int
    """Number of reference objects of the class that count."""
    matched: int
    """Number of reference objects with a match."""
    recall: float
    """Share of the reference objects with a match."""
    mean_iou: float
    """Mean, over the reference objects, of the best IoU with any predicted object; 0 without overlap."""
    mean_iou_matched: float | None
    """Mean IoU of the matched pairs, None without a match."""


@dataclass(frozen=True)
class ObjectScore:
    """Score of one reference object."""

    id: int
    """Number in the reference layer."""
    matched_id: int | None
    """Number of the matched predicted object, None without a match."""
    best_iou: float
    """Best IoU with any predicted object; 0 without overlap."""


@dataclass(frozen=True)
class Evaluation:
    """Agreement of two layers. A number that is not defined (a share or mean of no object) is None.

    All objects count, unless an area was given where the reference is complete: then those inside it by at least half.
    """

    predicted: int
    """Number of predicted objects that count."""
    reference: int
    """Number of reference objects that count."""
    iou: float
    """Smallest IoU of a match."""
    matched: int
    """Number of pairs in the one-to-one matching of greatest total IoU."""
    parts: int
    """Number of unmatched predicted objects that lie by at least half in one reference object."""
    precision: float | None
    """Share of the predicted objects that are matched."""
    recall: float | None
    """Share of the reference objects that are matched."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    mean_iou_matched: float | None
    """Mean IoU of the matched pairs."""
    mean_iou_reference: float | None
    """Mean, over all reference objects, of the best IoU with any predicted object; 0 without overlap."""
    segmentation: SegmentationScore
    """Over- and under-segmentation."""
    boundary: BoundaryScore
    """Agreement of the outlines."""
    predicted_area_m2: float
    """Sum of the ground areas of the predicted objects that count; an area that two objects share counts twice."""
    reference_area_m2: float
    """Sum of the ground areas of the reference objects that count."""
    classes: dict[str, ClassScore]
    """Scores by class, if the reference layer has a column `class`."""
    objects: tuple[ObjectScore, ...] = field(repr=False)
    """Scores by reference object, in the order of the layer."""
    notes: tuple[str, ...]
    """Repairs and omissions in the layers."""

    def to_json(self, *, objects: bool = False) -> dict[str, Any]:
        """Return the fields as plain data for JSON; `objects` adds the scores by reference object."""
        return {key: value for key, value in asdict(self).items() if objects or key != "objects"}

    def lines(self) -> list[str]:
        """Return the scores in words: each class first, then all objects, then the measures."""
        return [*self._found(), *self._measures()]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _found(self) -> Iterator[str]:
        counts = {
            name: (score.matched, score.reference, score.mean_iou_matched) for name, score in self.classes.items()
        }
        counts["all"] = self.matched, self.reference, self.mean_iou_matched
        width = max(map(len, counts)) + 2
        for name, (matched, reference, mean_iou) in counts.items():
            quality = "" if mean_iou is None else f" (mean IoU {mean_iou:.2f})"
            yield f"{name + ':':{width}}{matched} of {reference} found{quality}"
        yield f"Found means: one polygon has an IoU of at least {self.iou:g} with the reference object."
        # Low precision is often one object in several pieces, so pieces are counted apart.
        elsewhere = self.predicted - self.matched - self.parts
        yield (
            f"{self.predicted} polygons: {self.matched} are such an object, "
            f"{self.parts} are a part of one, {elsewhere} lie elsewhere."
        )

    def _measures(self) -> Iterator[str]:
        within = f"{self.boundary.tolerance_m:.2g} m"
        for name, value, meaning in (
            ("precision", self.precision, "share of the polygons that are a reference object"),
            ("recall", self.recall, "share of the reference objects that are found"),
            ("F1", self.f1, "harmonic mean of precision and recall"),
            ("mean IoU of the matched", self.mean_iou_matched, "1 is the same outline"),
            ("mean best IoU of the reference", self.mean_iou_reference, "all reference objects, 0 for no overlap"),
            ("over-segmentation", self.segmentation.over, "share of an object outside its best polygon"),
            ("under-segmentation", self.segmentation.under, "share of the best polygon outside the object"),
            (f"boundary F within {within}", self.boundary.f1, f"share of the outlines that agree within {within}"),
        ):
            yield f"  {name:31} {'-' if value is None else f'{value:.3f}':7}{meaning}"
