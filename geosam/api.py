"""The Python door: one function for each task.

The command line calls these functions. They are public as ``geosam.segment``, ``geosam.session`` and so on. Imports
stand inside the functions, so that each task loads only the libraries that it needs.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from geosam.options import MODEL, defaults

if TYPE_CHECKING:
    from PIL.Image import Image

    from geosam.evaluation.scores import Evaluation
    from geosam.objects.click_session import ClickSession
    from geosam.objects.observer import Observer
    from geosam.run.arguments import Arguments
    from geosam.run.executor import Executor
    from geosam.run.inputs import Progress
    from geosam.run.result import Result
    from geosam.run.summaries import RunSummary
    from geosam.scene import Scene
    from geosam.segmenters.catalogue import Models
    from geosam.segmenters.segmenter import Segmenter
    from geosam.training.finetune import FineTuneResult
    from geosam.vector.polygons import PolygonLayer


#: The model that is used unless another one is named.
DEFAULT_MODEL: str = defaults(MODEL)["name"]


def segment(
    scene: Any,
    prompts: Any = None,
    *,
    model: str | Path | Segmenter = DEFAULT_MODEL,
    out: str | Path | None = None,
    progress: Progress = None,
    observer: Observer | None = None,
    executor: Executor | None = None,
    command: str = "",
    **options: Any,
) -> Result:
    """Segment a scene into polygons: all objects, or one object for each prompt.

    Examples:
        All objects, as a table and as a file::

            result = geosam.segment("scene.tif")
            result.polygons                                   # a GeoDataFrame
            geosam.segment("scene.tif", out="objects.gpkg")

        One object for each point, box or feature::

            geosam.segment("scene.tif", [(500120, 4649880)])
            geosam.segment("scene.tif", "trees.gpkg", out="crowns.shp")
            geosam.segment("scene.tif", points, prompt_crs="EPSG:4326")

        Another model, another part, other polygons::

            geosam.segment("scene.tif", model="sam2.1_hiera_tiny", device="cuda")
            geosam.segment("scene.tif", window=(500000, 4649000, 500500, 4649500), resolution=0.5)
            geosam.segment("scene.tif", layout="planar", simplify_m=0.5, min_area_m2=10)

    Args:
        scene: path or URL of a raster, an open :class:`Scene`, or an open rasterio dataset.
        prompts: the objects to find; None finds everything. A path, a GeoDataFrame or GeoSeries, shapely geometries,
            (x, y) points, one (xmin, ymin, xmax, ymax) box or several, or :class:`Prompt` values.
        model: a name that :func:`models` lists, a file of weights, or a segmenter.
        out: vector file to write; its extension names the format. None keeps the result in memory.
        progress: True draws a bar; a function is called with (tiles done, total number of tiles).
        observer: receives progress, windows, finished objects and warnings.
        executor: runs the tasks; if left out, they run in this process, or in `workers` processes.
        command: text that the output's provenance records as the call.
        **options: any of these, by name.

            - The scene: ``crs, bands, stretch, resolution, window, gcps, assume_pixels, untrusted, sha256,
              max_pixels``; see :func:`open_scene`.
            - The model: ``device, precision, backend``; see :func:`load_segmenter`.
            - Prompts: ``prompt_crs, layer, encoding, polygons`` ("box" or "mask"), ``granularity`` ("auto", "part",
              "whole" or "group"), ``skip_outside``.
            - The run: ``tile_size, overlap, workers, layout, min_area_m2, simplify_m, fill_holes_m2, overwrite,
              restart, allow_partial``; see :class:`RunOptions`.
            - Everything in a scene: ``min_iou, min_stability, spacing, crop_layers, min_region``.
            - Embeddings kept on disk: ``cache`` (a folder), ``cache_size`` (bytes).

    Returns:
        A :class:`Result`: ``polygons`` (a GeoDataFrame in the scene's CRS), ``path``, ``summary``, ``picture()``.

    Raises:
        GeosamError: see :mod:`geosam.errors`; the class tells if the caller, the owner of a file or the administrator
            of the machine can act.
    """
    from geosam.run.arguments import Arguments
    from geosam.run.inputs import opened, watched
    from geosam.run.result import Result, read_table

    groups = ("opening", "model", "prompts", "run", "rules", "cache")
    arguments = Arguments.of("segment", options, *groups, command=command)
    with ExitStack() as stack:
        raster = stack.enter_context(opened(scene, arguments))
        watcher = stack.enter_context(watched(progress, observer))
        # Without `out` a temporary file is written and read back, so that rows are made in one way only. With `out`
        # there is no temporary folder, which a killed process would leave behind.
        path = Path(out or Path(stack.enter_context(TemporaryDirectory(prefix="geosam-"))) / "objects.parquet")
        summary = _run(raster, prompts, model, path, arguments=arguments, observer=watcher, executor=executor)
        if out is None:
            return Result(replace(summary, output=None), raster, table=read_table(path))
        return Result(summary, raster, path)


def session(scene: Any, model: str | Path | Segmenter = DEFAULT_MODEL, **options: Any) -> ClickSession:
    """Open a session, which finds one object after another from clicks and boxes.

    Examples:
        >>> with geosam.session("scene.tif") as session:
        ...     session.click(500120, 4649880)
        ...     session.exclude(500131, 4649871)
        ...     session.accept(kind="house")
        ...     session.polygons.to_file("houses.gpkg")

    Args:
        scene: path or URL of a raster, an open :class:`Scene`, or an open rasterio dataset.
        model: a name that :func:`models` lists, a file of weights, or a segmenter.
        **options: options of :func:`open_scene` and of :func:`load_segmenter`; ``cache`` (a folder of embeddings),
            ``cache_size`` (bytes).

    Returns:
        The session; a context manager, which closes the scene that it opened.

    Raises:
        GeosamError: the scene or the model cannot be used.
    """
    from geosam.objects.click_session import ClickSession
    from geosam.objects.session import Session
    from geosam.run.arguments import Arguments
    from geosam.run.inputs import opened, segmenter
    from geosam.scene import Scene

    arguments = Arguments.of("session", options, "opening", "model", "cache")
    with ExitStack() as stack:
        raster = stack.enter_context(opened(scene, arguments))
        answers = Session(raster, segmenter(model, arguments), store=arguments.store())
        stack.pop_all()  # the scene stays open: from now on the session closes it
    return ClickSession(answers, owns_scene=not isinstance(scene, Scene))


def evaluate(
    predicted: Any,
    reference: Any,
    *,
    within: Any = None,
    iou: float = 0.5,
    tolerance_m: float | None = None,
    layer: str | None = None,
    reference_layer: str | None = None,
) -> Evaluation:
    """Compare predicted with reference polygons, one to one.

    Examples:
        >>> result = geosam.segment("scene.tif")
        >>> print(geosam.evaluate(result, "truth.gpkg"))

    Args:
        predicted: a path, a :class:`Result`, a GeoDataFrame or a :class:`PolygonLayer`.
        reference: true polygons, in one of the same forms. If they have a column `class`, each class has scores, too.
        within: polygons inside which the reference is complete, in one of the same forms; objects elsewhere do not
            count.
        iou: smallest IoU of a match, in (0, 1].
        tolerance_m: largest distance of outlines that agree, in ground metres; by default 2.5 % of the size (square
            root of the area) of the median reference object.
        layer: layer of `predicted`, if the file has several.
        reference_layer: layer of `reference`, if the file has several.

    Returns:
        The scores; printed as sentences, with numbers in its fields.

    Raises:
        PromptError: polygons cannot be read.
        UsageError: a number is out of range, or a value has none of these forms.
    """
    from geosam.evaluation.compare import evaluate as compare

    return compare(
        _polygons(predicted, layer, "predicted"),
        _polygons(reference, reference_layer, "reference"),
        within=None if within is None else _polygons(within, None, "within"),
        iou=iou,
        tolerance_m=tolerance_m,
    )


def preview(
    scene: Any,
    polygons: Any,
    out: str | Path | None = None,
    *,
    size: int = 1600,
    layer: str | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Image:
    """Draw polygons on their scene.

    Examples:
        >>> geosam.preview("scene.tif", "objects.gpkg", "picture.png")

    Args:
        scene: path or URL of a raster, an open :class:`Scene`, or an open rasterio dataset.
        polygons: a path, a :class:`Result`, a GeoDataFrame or a :class:`PolygonLayer`, in any CRS.
        out: the picture to write (.png); None writes none.
        size: longest side in pixels, without the caption.
        layer: layer of the vector file, if it has several.
        overwrite: True to replace an existing picture.
        **options: options of :func:`open_scene`.

    Returns:
        The picture (PIL), with a caption and a scale below it.

    Raises:
        GeosamError: the scene or the polygons cannot be used, or the picture cannot be written.
    """
    from geosam.evaluation.preview import check_picture, write_picture
    from geosam.evaluation.preview import preview as draw
    from geosam.run.arguments import Arguments
    from geosam.run.inputs import opened

    arguments = Arguments.of("preview", options, "opening")
    with opened(scene, arguments) as raster:
        if out is not None:
            inputs = [Path(raster.path), *([Path(polygons)] if isinstance(polygons, str | Path) else [])]
            check_picture(Path(out), inputs, overwrite=overwrite)
        picture = draw(raster, _polygons(polygons, layer, "polygons"), size=size)
    if out is not None:
        write_picture(picture, Path(out))
    return picture


def finetune(
    scene: Any,
    polygons: Any,
    out: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    layer: str | None = None,
    progress: Progress = None,
    **options: Any,
) -> FineTuneResult:
    """Fit a network's mask decoder to your own polygons.

    Examples:
        >>> geosam.finetune("scene.tif", "roofs.gpkg", "tuned.safetensors")
        >>> geosam.segment("other.tif", model="tuned.safetensors")

    Args:
        scene: path or URL of a raster, an open :class:`Scene`, or an open rasterio dataset.
        polygons: one polygon for each object: a path, a :class:`Result`, a GeoDataFrame or a :class:`PolygonLayer`.
        out: file for the tuned network (.safetensors); it always holds the best state so far.
        model: the network to begin with: a name that :func:`models` lists, or a file of weights.
        layer: layer of the vector file, if it has several.
        progress: True draws a bar; a function is called with (tiles embedded, largest possible number of tiles).
        **options: any of these, by name.

            - Training: ``epochs`` (most passes over the polygons), ``minutes`` (longest time), ``seed``, ``overwrite``.
            - The model: ``device``, ``precision`` (of the embeddings; training is done in fp32).
            - The scene: options of :func:`open_scene`.
            - ``cache``: folder of embeddings to use and to fill; a temporary one if left out.

    Returns:
        Scores on held-out polygons before and after, and counts.

    Raises:
        GeosamError: the scene, the polygons or the model cannot be used, or nothing better was found.
    """
    from geosam.run.arguments import Arguments
    from geosam.run.inputs import opened, watched
    from geosam.training.finetune import FineTuneOptions
    from geosam.training.finetune import finetune as tune

    arguments = Arguments.of("finetune", options, "opening", "model", "learning", "cache")
    labels = _polygons(polygons, layer, "polygons")
    cache = arguments.options.get("cache")
    with opened(scene, arguments) as raster, watched(progress, None) as watcher:
        return tune(
            raster,
            labels,
            str(model),
            Path(out),
            FineTuneOptions(**arguments.learning),
            cache=None if cache is None else Path(cache),
            progress=watcher.progress,
            **{name: value for name, value in arguments.model.items() if name in ("device", "precision")},
        )


def models() -> Models:
    """List the models, with their devices, licences, and the state of their checkpoints on this machine.

    Examples:
        >>> geosam.models()
        >>> geosam.models()["sam2.1_hiera_tiny"].licence

    Returns:
        A mapping from names to facts, the default first; printed as a table.
    """
    from geosam.segmenters.catalogue import Models

    return Models()


def _run(
    scene: Scene,
    prompts: Any,
    model: Any,
    path: Path,
    *,
    arguments: Arguments,
    observer: Observer,
    executor: Executor | None,
) -> RunSummary:
    from geosam.run.inputs import requested, segmenter
    from geosam.run.pipeline import segment_prompts, segment_scene

    prompt_list, notes = requested(prompts, scene, arguments)
    for note in notes:
        observer.warning(note)
    network = segmenter(model, arguments)
    run = arguments.run_options(network.spec, prompted=prompt_list is not None)
    tools: dict[str, Any] = {"store": arguments.store(), "observer": observer, "executor": executor}
    if prompt_list is None:
        return segment_scene(scene, network, path, run, **tools)
    skip_outside = arguments.reading["skip_outside"]
    summary = segment_prompts(scene, network, prompt_list, path, run, skip_outside=skip_outside, **tools)
    # Notes of the reader come first, as the user met them; both may hold the same one.
    return replace(summary, warnings=tuple(dict.fromkeys([*notes, *summary.warnings])))


def _polygons(value: Any, layer: str | None, name: str) -> PolygonLayer:
    from geosam.run.result import Result
    from geosam.vector.polygons import polygons_of

    return polygons_of(value.polygons if isinstance(value, Result) else value, layer, name=name)
