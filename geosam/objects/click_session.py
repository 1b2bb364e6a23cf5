"""A session for people who write Python: clicks and boxes in map coordinates, one object after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pyproj import Transformer

from geosam.errors import PromptError
from geosam.prompts.draft import Draft, History
from geosam.prompts.parts import known_crs

if TYPE_CHECKING:
    from types import TracebackType

    import geopandas as gpd

    from geosam.objects.session import Answer, Session


class ClickSession:
    """Find one object after the other by clicks, and keep the accepted ones.

    Every method that changes the present object returns its polygon in the scene's CRS, or None where there is no
    object. ``answer`` says more about it: score, size, warnings. One thread at a time may use a ClickSession.

    Examples:
        >>> with geosam.session("scene.tif") as session:
        ...     session.click(500120, 4649880)  # the object under a point
        ...     session.exclude(500131, 4649871)  # without what lies here
        ...     session.accept(kind="house")
        ...     session.box(500200, 4649800, 500240, 4649830)
        ...     session.accept(kind="shed")
        ...     session.polygons.to_file("buildings.gpkg")

    Args:
        session: finds the objects; its scene is closed with this session if `owns_scene`.
        owns_scene: the scene was opened for this session alone.
    """

    def __init__(self, session: Session, *, owns_scene: bool = False) -> None:
        self._session = session
        self._owns_scene = owns_scene
        self._crs = session.scene.geobox.crs
        self._history = History(self._empty())
        self._accepted: list[dict[str, Any]] = []
        self.answer: Answer | None = None
        """The answer to the present clicks; None before the first."""

    @property
    def polygon(self) -> Any:
        """Polygon of the present object in the scene's CRS; None where there is none."""
        return None if self.answer is None or self.answer.found is None else self.answer.found.polygon

    @property
    def draft(self) -> Draft:
        """The clicks and boxes of the present object, in the scene's CRS."""
        return self._history.draft

    @property
    def polygons(self) -> gpd.GeoDataFrame:
        """The accepted objects, one row each, with the columns of an output file and the attributes of `accept`."""
        import geopandas as gpd

        return gpd.GeoDataFrame(self._accepted, geometry="geometry", crs=self._crs, columns=self._columns())

    def click(self, x: float, y: float, *, crs: Any = None, include: bool = True) -> Any:
        """Add a point inside the object, or outside it with ``include=False``.

        Args:
            x: easting or longitude.
            y: northing or latitude.
            crs: CRS of the coordinates; that of the scene if left out.
            include: the point lies inside the object.

        Returns:
            The polygon, None where there is no object.

        Raises:
            PromptError: the point lies outside the scene, or its CRS is unknown.
        """
        ((px, py),) = self._to_scene([(x, y)], crs)
        return self._change(self.draft.with_point(px, py, int(include)))

    def exclude(self, x: float, y: float, *, crs: Any = None) -> Any:
        """Add a point outside the object; the same as ``click(x, y, include=False)``."""
        return self.click(x, y, crs=crs, include=False)

    def box(self, xmin: float, ymin: float, xmax: float, ymax: float, *, crs: Any = None) -> Any:
        """Put a box around the object, in place of an earlier one.

        Args:
            xmin: west side.
            ymin: south side.
            xmax: east side.
            ymax: north side.
            crs: CRS of the coordinates; that of the scene if left out.

        Returns:
            The polygon, None where there is no object.

        Raises:
            PromptError: the box lies outside the scene or has no area, or its CRS is unknown.
        """
        corners = [(xmin, ymin), (xmin, ymax), (xmax, ymax), (xmax, ymin)]
        return self._change(self.draft.with_box(self._to_scene(corners, crs)))

    def undo(self) -> Any:
        """Take the last click or box back. Return the polygon of what is left, None where nothing is."""
        self._history.undo()
        return self._answered()

    def redo(self) -> Any:
        """Do again what `undo` took back. Return the polygon."""
        self._history.redo()
        return self._answered()

    def accept(self, **attributes: Any) -> Any:
        """Keep the present object, with attributes of your own, and begin the next one. Return its polygon.

        Raises:
            PromptError: there is no object to keep.
        """
        if self.answer is None or self.answer.found is None:
            raise PromptError(
                "there is no object to accept: nothing was found yet.",
                remedy="Call click or box first.",
                code="nothing-to-accept",
            )
        kept = self.answer.found
        row = {"id": len(self._accepted) + 1, **kept.columns}
        # A table has one column for a name: the user's value would replace a measured one.
        taken = sorted(row.keys() & attributes.keys() | ({"geometry"} & attributes.keys()))
        if taken:
            raise PromptError(
                f"the attribute has the name of a column of the result: {taken[0]!r}.",
                remedy="Use another name.",
                code="attribute-name-taken",
                attribute=taken[0],
            )
        self._accepted.append({**row, **attributes, "geometry": kept.polygon})
        self._history = History(self._empty())
        self.answer = None
        return kept.polygon

    def clear(self) -> None:
        """Forget the clicks of the present object; accepted objects stay."""
        self._history = History(self._empty())
        self.answer = None

    def close(self) -> None:
        """Close the scene, if it was opened for this session."""
        if self._owns_scene:
            self._session.scene.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        scene, model = self._session.scene.path, self._session.segmenter.spec.name
        counts = f"{len(self.draft.steps)} steps, {len(self._accepted)} accepted"
        return f"<geosam session on {scene} with {model}: {counts}>"

    def _empty(self) -> Draft:
        return Draft(self._crs.to_wkt())

    def _columns(self) -> list[str]:
        """Columns of all accepted rows in the order in which they first appear, the geometry last."""
        names = dict.fromkeys(name for row in self._accepted for name in row if name != "geometry")
        return [*names, "geometry"]

    def _change(self, draft: Draft) -> Any:
        answer = self._answer_to(draft)  # first: a click that cannot be used must not stay
        self._history.change(draft)
        self.answer = answer
        return self.polygon

    def _answered(self) -> Any:
        self.answer = self._answer_to(self.draft)
        return self.polygon

    def _answer_to(self, draft: Draft) -> Answer | None:
        return self._session.answer(draft) if draft.selects else None

    def _to_scene(self, points_xy: list[tuple[float, float]], crs: Any) -> list[tuple[float, float]]:
        """Points in the scene's CRS."""
        if not np.isfinite(np.array(points_xy, float)).all():
            raise PromptError(
                f"coordinates are not finite: {points_xy}: finite numbers are expected.", code="not-finite"
            )
        own = self._crs if crs is None else known_crs(crs, "`crs`")
        if own == self._crs:
            return [(float(x), float(y)) for x, y in points_xy]
        x, y = np.array(points_xy, np.float64).T
        placed = np.column_stack(Transformer.from_crs(own, self._crs, always_xy=True).transform(x, y))
        if not np.isfinite(placed).all():
            raise PromptError(
                f"the point has no place in the scene's CRS: {points_xy[0]} in {own.name!r}.",
                remedy="Pass the CRS of the coordinates as `crs`; x is longitude or easting.",
                code="point-without-place",
            )
        return [(east, north) for east, north in placed.tolist()]
