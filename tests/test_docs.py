"""The texts agree with the code: links, options, targets and names that they mention are there."""

import ast
import json
import re
from pathlib import Path

import click
import pytest

import geosam
from geosam.apps.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for folder in ("", "docs", "checkpoints", "qgis_plugin")
    for path in (ROOT / folder).glob("**/*.md" if folder == "docs" else "*.md")
)
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
#: Files that the site makes of others; see docs/_site/pages.py.
MADE_BY_THE_SITE = {"contributing.md", "design.md", "changelog.md", "model-card.md"}


def named(path):
    return path.relative_to(ROOT).as_posix()


def without_fences(text):
    return re.sub(r"^( *)(```|~~~).*?^\1\2$", "", text, flags=re.MULTILINE | re.DOTALL)


def fences(text, language):
    """The blocks of code in a language, with the indentation of tabs and lists removed."""
    for indent, body in re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        yield "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))


def slugs(text):
    """Anchors of the headings, as the site and the hosts of repositories make them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(path):
    text = without_fences(path.read_text(encoding="utf-8"))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:", target)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target.read_text(encoding="utf-8")), link


def test_every_page_is_in_the_navigation_of_the_site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/.-]+\.(?:md|ipynb)\b", text[text.index("\nnav:") :]))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in [*(ROOT / "docs").rglob("*.md"), *NOTEBOOKS]}
    assert listed == there | MADE_BY_THE_SITE


def options_of(command):
    yield from (name for parameter in command.params for name in parameter.opts)
    for sub in getattr(command, "commands", {}).values():
        yield from options_of(sub)


def test_options_in_the_texts_are_options_of_a_command():
    training = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "geosam" / "training").rglob("*.py"))
    there = {*options_of(cli), *re.findall(r'"(--[a-z][a-z-]*)"', training), "--help", "--version"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = re.findall(r"`(--[a-z][a-z-]*)", text)
        for block in fences(text, "sh"):
            joined = block.replace("\\\n", " ")
            for line in re.findall(r"^(?:python -m )?geosam[ .].*", joined, re.MULTILINE):
                shown += re.findall(r"(?<= )--[a-z][a-z-]*", line.split("#")[0].split(" | ")[0])
        assert set(shown) <= there, named(page)


def test_every_command_is_described():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert isinstance(cli, click.Group)
    assert [name for name in cli.commands if f"geosam {name}" not in text] == []


def targets():
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_make_targets_in_the_texts_are_there():
    for page in PAGES:
        mentioned = re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(mentioned) <= targets(), named(page)


def test_workflows_call_the_makefile_and_nothing_else():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        commands = re.findall(r"- run: (.+)", path.read_text(encoding="utf-8"))
        assert commands
        for command in commands:
            assert command == "sudo .ci/install-qgis" or command.removeprefix("make ").split()[0] in targets(), command


def public_names_used(code):
    """Names that Python code takes from the package."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "geosam":
            yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module == "geosam":
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_in_the_texts_uses_public_names(page):
    for code in fences(page.read_text(encoding="utf-8"), "python"):
        assert set(public_names_used(code)) <= set(geosam.__all__), code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_notebooks_are_kept_without_outputs_and_use_public_names(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        assert set(public_names_used("".join(cell["source"]))) <= set(geosam.__all__)


def test_the_three_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["finetuning", "prompts_and_session", "whole_scene"]


def test_design_is_short_and_has_four_drawings():
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1500
    assert text.count("```mermaid") == 4


def test_design_names_every_room():
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "geosam").glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert all(re.search(rf'{room}\["{room}:', text) for room in rooms)


def test_pictures_in_the_texts_are_small():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert all(path.stat().st_size < 300_000 for path in pictures)
