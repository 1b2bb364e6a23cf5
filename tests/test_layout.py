"""Guards of the layout: who may import whom, how long a module may be, what must not be written."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import geosam

ROOT = Path(geosam.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40

#: The rooms, from the ground up. Imports go to lower layers only; within a layer no room imports another. Below them
#: are the modules with an underscore, which import nothing of geosam.
LAYERS = (
    {"errors", "options", "packing", "whole_file"},
    {"geometry"},
    {"scene", "vector"},
    {"segmenters"},
    {"prompts"},
    {"objects", "evaluation"},
    {"run"},
    {"training"},
    {"api"},
    {"apps"},
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def home(path):
    """The name in RANKS that a source file belongs to; None for the list of public names and for the ground."""
    name = path.relative_to(ROOT).with_suffix("").parts[0]
    return {"__main__": "apps"}.get(name, None if name.startswith("_") else name)


def imported(tree):
    """The modules directly below geosam that a source file imports, wherever in the file."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from {name.split(".")[1] for name in names if name.startswith("geosam.")} & RANKS.keys()


def rank_violations(name, tree):
    return [other for other in imported(tree) if other != name and RANKS[other] >= RANKS[name]]


def test_every_module_has_a_rank():
    assert {home(path) for path in SOURCES} - {None} == set(RANKS)


@pytest.mark.parametrize("path", [p for p in SOURCES if home(p)], ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_to_lower_ranks(path):
    assert rank_violations(home(path), parsed(path)) == []


def test_the_ground_imports_nothing_of_geosam():
    ground = list(ROOT.glob("_[a-z]*.py"))
    assert ground
    for path in ground:
        assert not list(imported(parsed(path))), path


def test_the_rank_guard_sees_lazy_and_plain_imports():
    lazy = ast.parse("def f():\n    from geosam.run.pipeline import segment_scene\n")
    assert rank_violations("scene", lazy) == ["run"]
    assert rank_violations("scene", ast.parse("import geosam.prompts.prompt")) == ["prompts"]
    assert rank_violations("scene", ast.parse("from geosam import apps")) == ["apps"]
    assert rank_violations("scene", ast.parse("from geosam.geometry.geobox import GeoBox")) == []


def test_only_models_and_training_may_import_torch():
    allowed = {"segmenters", "training"}
    for path in SOURCES:
        names = {alias.name for node in ast.walk(parsed(path)) if isinstance(node, ast.Import) for alias in node.names}
        froms = {node.module for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom)}
        uses = {str(name).split(".")[0] for name in names | froms}
        assert "torch" not in uses or home(path) in allowed, path


def test_public_names_are_sorted_and_resolve():
    assert list(geosam.__all__) == sorted(set(geosam.__all__))
    assert set(geosam.__all__) <= set(dir(geosam))
    for name in geosam.__all__:
        assert getattr(geosam, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        geosam.no_such_name  # noqa: B018


def test_public_names_do_not_hide_a_module():
    modules = {info.name for info in pkgutil.iter_modules([str(ROOT)])}
    assert not modules & set(geosam.__all__)


def test_every_module_imports_alone_and_explains_itself():
    for info in pkgutil.walk_packages([str(ROOT)], "geosam."):
        if not info.name.endswith("__main__"):
            assert importlib.import_module(info.name).__doc__, info.name


def test_modules_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_commands_are_short():
    for path in (ROOT / "apps" / "cli").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 160, path


def body_lines(function):
    """Lines from `def` to the end, without the docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


def test_test_modules_have_names_of_their_own():
    """Pytest imports a test module by its name alone."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_tests_that_run_alone_are_where_the_makefile_runs_them():
    """Not beside networks, which take a process each: see the comment in the Makefile."""
    here = Path(__file__).parent
    marked = [path for path in here.rglob("test_*.py") if "@pytest.mark.serial" in path.read_text(encoding="utf-8")]
    assert marked
    for path in marked:
        folder, *rest = path.relative_to(here).parts
        assert folder != "training", path
        assert folder != "segmenters" or rest[0] == "weights", path
        assert path.name != "test_network_runs.py"


def test_functions_are_short():
    long = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and body_lines(node) > MAX_FUNCTION_LINES:
                long[f"{path.relative_to(ROOT)}:{node.name}"] = body_lines(node)
    assert long == {}


def banned_calls(call):
    """What a call must not look like, with the reason."""
    function = ast.unparse(call.func)
    given = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    if function == "torch.load" and given.get("weights_only") is not True:
        yield "torch.load without weights_only=True runs code from the file"
    if function.endswith("Transformer.from_crs") and given.get("always_xy") is not True:
        yield "Transformer.from_crs without always_xy=True swaps the axes of many CRSs"
    if given.get("allow_pickle") is True:
        yield "allow_pickle=True runs code from the file"
    if given.get("connectivity") == 8:
        yield "connectivity=8 gives invalid polygons"
    if function == "print":
        yield "print: the library logs, the command line uses click.echo"


def banned(tree):
    """What must not be written, with the reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from banned_calls(node)
        dotted = [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom):
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in dotted:
            if name.endswith(("transform.rowcol", "windows.from_bounds")):
                yield f"{name} is a pixel off now and then"
            if name.endswith(".Pool"):
                yield f"{name} hangs when a worker is killed"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_banned_is_written(path):
    assert list(banned(parsed(path))) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "Transformer.from_crs(a, b)",
        "pyproj.Transformer.from_crs(a, b, always_xy=False)",
        "np.load(path, allow_pickle=True)",
        "label(mask, connectivity=8)",
        "rasterio.transform.rowcol(t, x, y)",
        "from rasterio.transform import rowcol",
        "from rasterio.windows import from_bounds",
        "rasterio.windows.from_bounds(*b)",
        "multiprocessing.Pool(2)",
        "context.Pool(2)",
        "print('hello')",
    ],
)
def test_the_guard_against_banned_lines_bites(line):
    assert list(banned(ast.parse(line)))


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["segment", "--help"], ["info"]], ids=" ".join)
def test_help_and_info_load_neither_torch_nor_geopandas(command, tmp_path):
    scene = tmp_path / "tiny.tif"
    with rasterio.open(
        scene,
        "w",
        driver="GTiff",
        width=8,
        height=6,
        count=3,
        dtype="uint8",
        crs="EPSG:32633",
        transform=Affine(1, 0, 5e5, 0, -1, 5e6),
        photometric="rgb",
    ) as file:
        file.write(np.zeros((3, 6, 8), "uint8"))
    (tmp_path / "torch.py").write_text("")  # so that an import of torch would succeed, and show
    args = [*command, str(scene)] if command == ["info"] else command
    code = (
        "import sys; from geosam.apps.cli.main import run; from geosam.apps.cli.report import Report; "
        "from geosam.apps.cli.signals import Signals; code = run(sys.argv[1:], Report(), Signals()); "
        "heavy = {'torch', 'geopandas', 'pandas', 'higra', 'skimage'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
