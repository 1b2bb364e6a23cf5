"""The result of a run in Python: a table of polygons, a file, a summary, a picture."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam.errors import UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    from PIL.Image import Image

    from geosam.run.summaries import RunSummary
    from geosam.scene import Scene

#: Rows and picture that a notebook shows.
_ROWS, _PICTURE_PX = 8, 640


@dataclass(frozen=True, eq=False)
class Result:
    """Objects that a run found.

    Examples:
        >>> result = geosam.segment("scene.tif")
        >>> result.polygons.sort_values("area_m2").tail()
        >>> result.polygons.to_file("objects.gpkg")
    """

    summary: RunSummary
    """Counts, warnings and seconds; `output` is None for a result in memory."""
    scene: Scene
    """The scene that was segmented."""
    path: Path | None = None
    """The file that was written; None for a result in memory."""
    table: gpd.GeoDataFrame | None = None
    """The rows of a result in memory; None for a result in a file."""

    @cached_property
    def polygons(self) -> gpd.GeoDataFrame:
        """One row for each object: polygon, score, area and the other columns of an output file, in its CRS."""
        if self.table is not None:
            return self.table
        assert self.path is not None  # noqa: S101 - a result has a table or a file
        return read_table(self.path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that the user should read."""
        return self.summary.warnings

    def __len__(self) -> int:
        return self.summary.count

    def __repr__(self) -> str:
        noun = "polygon" if len(self) == 1 else "polygons"
        place = "in memory" if self.path is None else f"in {self.path}"
        return f"<geosam result: {len(self)} {noun} of {self.scene.path} {place}, {self.summary.seconds:.1f} s>"

    def picture(self, size: int = 1600) -> Image:
        """Draw the polygons on the scene.

        Args:
            size: longest side in pixels.

        Returns:
            An RGB image with a caption and a scale below it.
        """
        from geosam.evaluation.preview import preview
        from geosam.vector.polygons import polygons_of

        return preview(self.scene, polygons_of(self.polygons, name=self._name), size=size)

    def plot(self, **options: Any) -> Any:
        """Draw the polygons with matplotlib, over the scene's thumbnail; the options are those of GeoDataFrame.plot.

        Returns:
            The matplotlib axes.

        Raises:
            UsageError: matplotlib is not installed.
        """
        _require("matplotlib", "plot")
        axes = self.scene.plot() if "ax" not in options else options.pop("ax")
        style = {"facecolor": "none", "edgecolor": "tab:orange", **options}
        return self.polygons.to_crs(self.scene.crs).plot(ax=axes, **style)

    def explore(self, **options: Any) -> Any:
        """Show the polygons on a web map with folium; the options are those of GeoDataFrame.explore.

        Returns:
            The folium map.

        Raises:
            UsageError: folium is not installed.
        """
        _require("folium", "explore")
        return self.polygons.explore(**options)

    @property
    def _name(self) -> str:
        return "the result" if self.path is None else str(self.path)

    def _repr_html_(self) -> str:
        image = io.BytesIO()
        self.picture(_PICTURE_PX).save(image, format="PNG")
        source = base64.b64encode(image.getvalue()).decode("ascii")
        rows = self.polygons.head(_ROWS).drop(columns="geometry", errors="ignore")
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p><img alt='polygons on the scene' "
            f"src='data:image/png;base64,{source}'/>{rows.to_html(index=False, max_cols=12)}"
        )


def read_table(path: Path) -> gpd.GeoDataFrame:
    """Read an output file as a table.

    Args:
        path: a file of one of the formats that geosam writes.
    """
    import geopandas as gpd

    if path.suffix.lower() in {".parquet", ".geoparquet"}:
        return gpd.read_parquet(path)
    return gpd.read_file(path)


def _require(package: str, method: str) -> None:
    if find_spec(package) is None:
        raise UsageError(
            f"{method}() needs {package}: it is not installed.",
            remedy=f"Install it (pip install {package}), or use picture().",
            code="package-missing",
            package=package,
        )
