"""The command line says the library's sentences with its own options."""

import ast
import re
import string
from pathlib import Path

import click
import pytest

import geosam
from geosam.apps.cli import wording
from geosam.apps.cli.main import cli
from geosam.apps.cli.wording import Wording
from geosam.errors import UsageError
from geosam.options import GROUPS

LIBRARY = Path(geosam.__file__).parent
#: Words in backticks that look like parameters and are none: programs, and columns of layers.
OTHER_WORDS = {"gdalwarp", "sha256sum", "geosam", "set_geometry"}
OPTIONS = {name for table in GROUPS.values() for option in table for name in (option.name, option.target)} - {"name"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`overlap` is too large", "--overlap is too large"),
        ("Use `overwrite=True`.", "Use --overwrite."),
        ("Use `gcps=False`.", "Use no --gcps."),
        ('Use `crs="EPSG:32633"`.', "Use --crs EPSG:32633."),
        ("Use `bands=(3, 2, 1)`.", "Use --bands 3,2,1."),
        ("Use `stretch='p2,p98'` or `resolution=0.5`.", "Use --stretch p2,p98 or --resolution 0.5."),
        ("Use `window=xmin,ymin`.", "Use --window xmin,ymin."),
        ("Use `layer='two words'`.", "Use --layer 'two words'."),
        ("`prompt_crs`, `min_area_m2`, `cache_size`", "--prompt-crs, --min-area, --cache-size"),
        ("`sha256`, `verify`", "--verify, --verify"),
        ("Run `gdalwarp -tps` or `sha256sum`.", "Run `gdalwarp -tps` or `sha256sum`."),
        ("`no_such_parameter=3` and `Upper`", "`no_such_parameter=3` and `Upper`"),
        ("no parameter", "no parameter"),
    ],
)
def test_parameters_in_backticks_become_options(text, expected):
    assert Wording(cli).text(text) == expected


def test_the_options_of_the_running_command_come_first():
    assert Wording(cli, cli.commands["finetune"]).text("`polygons`") == "POLYGONS"
    assert Wording(cli, cli.commands["segment"]).text("`polygons`") == "--polygons"


def test_an_error_keeps_its_remedy_unless_the_command_line_has_its_own(monkeypatch):
    error = UsageError("too far: `overlap`: found 9.", remedy="Use `overlap=8`.", code="too-far", most=8)
    assert Wording(cli).error(error) == "too far: --overlap: found 9. Use --overlap 8."
    monkeypatch.setattr(wording, "REMEDIES", {"too-far": "Try --overlap {most}, say."})
    assert Wording(cli).error(error) == "too far: --overlap: found 9. Try --overlap 8, say."


def written(node):
    """A string as it is written in a source file, with 1 for every value in it; None if it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(written(part) or "1" for part in parts)
        case _:
            return None


def coded_errors():
    """Place, error and names of values of every `code=` that the library writes."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {word.arg: word.value for word in node.keywords} if isinstance(node, ast.Call) else {}
            code = written(words.get("code"))
            if code is None:
                continue
            texts = [written(part) or "" for part in (*node.args[:1], words.get("remedy"))]
            place = f"{path.relative_to(LIBRARY)}:{node.lineno}"
            names = words.keys() - {"code", "remedy"}
            yield place, UsageError(texts[0], remedy=texts[-1] if len(texts) > 1 else "", code=code), names


CODED = list(coded_errors())


def library_parameters():
    """Names of all arguments and fields in the library: a caller in Python may read them in backticks."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg):
                yield node.arg
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id


PARAMETERS = set(library_parameters())


@pytest.mark.parametrize(("place", "error"), [case[:2] for case in CODED], ids=[case[0] for case in CODED])
def test_every_option_is_shown_as_one_and_every_other_word_in_backticks_is_known(place, error):
    shown = set(re.findall(r"`([a-z][a-z0-9_]*)(?:=[^`]*)?`", Wording(cli).text(str(error))))
    assert shown <= OTHER_WORDS | PARAMETERS, place
    assert not shown & set(OPTIONS), place


def test_the_command_line_s_own_remedies_are_for_errors_that_exist_and_use_their_values():
    values = {error.code: names for _, error, names in CODED}
    for code, remedy in wording.REMEDIES.items():
        fields = {field for _, field, _, _ in string.Formatter().parse(remedy) if field}
        assert fields <= values[code], code
        assert Wording(cli).text(remedy) == remedy, code


def test_a_click_argument_is_named_as_in_the_help():
    @click.command()
    @click.argument("place")
    @click.argument("names", metavar="NAME", nargs=-1)
    def command(place, names):
        pass

    assert Wording(command).text("`place` and `names`") == "PLACE and NAME"
