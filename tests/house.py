"""Measure what the house rules ask for: rooms, names, words.

`python tests/house.py [PREFIX]` prints the figures, of the files whose path has the prefix; `--strict` fails where a
rule is broken.
"""

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LIBRARY = REPOSITORY / "geosam"
PLUGIN = REPOSITORY / "qgis_plugin" / "geosam_qgis"
#: Byte copies of the library's modules, which the plugin cannot import.
COPIES = {PLUGIN / "protocol.py", PLUGIN / "draft.py"}
#: Programs: their own text may name their options.
PROGRAMS = ("geosam/apps/cli/", "geosam/apps/demo/", "geosam/training/__main__.py", "geosam/training/fit/command.py")
QUESTION = re.compile(r"(What|Whether|How|Of|Where|Which)\b")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
CODED = re.compile(r"test_[a-eg-z]\d+_|test_f\d\d_")


def sources(*folders):
    return sorted(path for folder in folders for path in folder.rglob("*.py") if path not in COPIES)


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(path):
    return path.relative_to(REPOSITORY).as_posix()


def docstrings(tree):
    """(line, text) of every docstring, those below attributes of classes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for place, statement in enumerate(body):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                continue
            if place == 0 or isinstance(body[place - 1], ast.AnnAssign | ast.Assign):
                yield statement.lineno, str(statement.value.value)


def clashes():
    """Class names that stand in two or more modules."""
    homes = defaultdict(list)
    for path in sources(LIBRARY, PLUGIN):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(named(path))
    return {name: places for name, places in homes.items() if len(places) > 1}


def question_docstrings():
    """Docstrings that begin with a question word, and the number of all docstrings."""
    found, count = [], 0
    for path in sources(LIBRARY, PLUGIN):
        for line, text in docstrings(parsed(path)):
            count += 1
            if QUESTION.match(text):
                found.append(f"{named(path)}:{line}: {text.splitlines()[0]}")
    return found, count


def flags():
    """Strings of the library that name an option of the command line; docstrings and comments do not count."""
    found = []
    for path in sources(LIBRARY):
        if named(path).startswith(PROGRAMS):
            continue
        tree = parsed(path)
        documented = {line for line, _ in docstrings(tree)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and FLAG.search(text) and node.lineno not in documented:
                found.append(f"{named(path)}:{node.lineno}: {text}")
    return found


def coded_tests():
    """Tests that carry a row of the fault catalogue in their names."""
    return [
        f"{named(path)}: {node.name}"
        for path in sources(REPOSITORY / "tests", REPOSITORY / "qgis_plugin" / "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and CODED.match(node.name)
    ]


def long_files(limit=400):
    """Modules and test modules with more lines than `limit`."""
    paths = sources(LIBRARY, PLUGIN, REPOSITORY / "tests", REPOSITORY / "qgis_plugin" / "tests")
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {name: lines for name, lines in lengths.items() if lines > limit}


def wanted():
    """Lines that say *wanted* where the field says *expected*."""
    found = []
    for path in sources(LIBRARY, PLUGIN):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(r"\b[Ww]anted\b", line):
                found.append(f"{named(path)}:{number}: {line.strip()}")
    return found


def rooms():
    """Flat modules and folders of the library."""
    flat = sorted(path.name for path in LIBRARY.glob("*.py"))
    folders = sorted(path.name for path in LIBRARY.iterdir() if path.is_dir() and any(path.glob("*.py")))
    return flat, folders


def order_of(folder):
    """Modules and folders in the order in which the docstring of their folder names them, from the ground up."""
    text = ast.get_docstring(parsed(folder / "__init__.py")) or ""
    return list(dict.fromkeys(name.rstrip("/") for name in re.findall(r"`([a-z_0-9]+/?)`", text)))


def inner_imports(path, dotted):
    """Names directly below the package `dotted` that a source file imports."""
    for node in ast.walk(parsed(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name[len(dotted) + 1 :].split(".")[0] for name in names if name.startswith(f"{dotted}."))


def room_faults():
    """Rooms that do not say the order of their modules in ten lines, and imports against that order."""
    library = [path.parent for path in LIBRARY.rglob("__init__.py") if path.parent != LIBRARY]
    plugin = [path.parent for path in PLUGIN.rglob("__init__.py")]
    found = []
    for start in sorted(library + plugin):
        inside = {path.stem for path in start.glob("*.py")} | {p.name for p in start.iterdir() if any(p.glob("*.py"))}
        inside -= {"__init__", "__main__"}
        order = order_of(start)
        found += [f"{named(start)}: `{name}` is not named" for name in sorted(inside - set(order))]
        found += [f"{named(start)}: `{name}` is not there" for name in order if name not in inside]
        if len((ast.get_docstring(parsed(start / "__init__.py")) or "").splitlines()) > 12:
            found.append(f"{named(start)}: more than ten lines or so")
        for name in inside & set(order):
            paths = [start / f"{name}.py"] if (start / f"{name}.py").exists() else sorted((start / name).rglob("*.py"))
            lower = set(order[: order.index(name)]) | {name}
            top = PLUGIN if start.is_relative_to(PLUGIN) else LIBRARY
            dotted = ".".join(start.relative_to(top.parent).parts)
            for path in paths:
                uses = set(inner_imports(path, dotted)) & inside
                found += [f"{named(path)}: imports `{other}` from above" for other in sorted(uses - lower)]
    return found


def lines_of(folder):
    """Lines that are neither empty nor comments."""
    lines = (line.strip() for path in folder.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_ratios():
    """Test lines per source line of every room."""
    return {
        room: lines_of(REPOSITORY / "tests" / room) / lines_of(LIBRARY / room)
        for room in rooms()[1]
        if (REPOSITORY / "tests" / room).is_dir()
    }


def comment_share():
    """Share of the library's lines that are comments or end in one."""
    lines = [line for path in sources(LIBRARY) for line in path.read_text(encoding="utf-8").splitlines()]
    return sum(bool(re.search(r"(^|\s)#", line)) for line in lines) / len(lines)


#: Share of docstrings that may begin with a question word, and the numbers of modules and folders of the library.
MAX_QUESTIONS, MAX_FLAT, MAX_FOLDERS = 0.03, 9, 10


def main(prefix="", *, strict=False):
    questions, count = question_docstrings()
    listed = {
        "question-word docstrings": questions,
        "flags in library strings": flags(),
        "wanted": wanted(),
        "coded tests": coded_tests(),
        "long files": [f"{name}: {lines}" for name, lines in long_files().items()],
        "rooms": room_faults(),
        "class clashes": [f"{name}: {', '.join(places)}" for name, places in clashes().items()],
    }
    out = sys.stdout.write
    for title, rows in listed.items():
        mine = [row for row in rows if prefix in row]
        out(f"\n{title}: {len(mine)}{f' of {len(rows)}' if prefix else ''}\n" + "".join(f"  {row}\n" for row in mine))
    out(f"\ndocstrings {count}, flat {len(rooms()[0])}, folders {len(rooms()[1])}, comments {comment_share():.1%}\n")
    ratios = test_ratios()
    out("".join(f"  {room}: {ratio:.2f} test lines a source line\n" for room, ratio in ratios.items()))
    flat, folders = rooms()
    broken = [title for title, rows in listed.items() if rows and title != "question-word docstrings"]
    broken += ["question-word docstrings"] if len(questions) > MAX_QUESTIONS * count else []
    broken += ["rooms"] if len(flat) > MAX_FLAT or len(folders) > MAX_FOLDERS else []
    broken += [f"tests of {room}" for room, ratio in ratios.items() if ratio < 1]
    if strict and broken:
        out(f"\nbroken: {', '.join(dict.fromkeys(broken))}\n")
    return int(strict and bool(broken))


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--strict"]
    sys.exit(main(*arguments, strict="--strict" in sys.argv))
