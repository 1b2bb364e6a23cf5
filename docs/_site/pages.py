"""Pages of the site that are not written in docs/: files kept elsewhere, executed notebooks, the Python reference."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
EXECUTED = ROOT / "build" / "notebooks"
#: Files at home elsewhere, and the pages they become.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "DESIGN.md": "design.md",
    "CHANGELOG.md": "changelog.md",
    "checkpoints/geosam_lite.md": "model-card.md",
}
#: Sections of the Python reference by the module or room that a public name comes from.
SECTIONS = {
    "api": "Start here",
    "scene": "Scenes",
    "geometry": "Geometry",
    "prompts": "Prompts",
    "segmenters": "Models",
    "objects": "Sessions and embeddings",
    "run": "Runs",
    "vector": "Vector files",
    "errors": "Errors",
}


def public_names() -> dict[str, list[str]]:
    """Return the public names by section, read from the imports of the package without running it."""
    names = defaultdict(list)
    for node in ast.walk(ast.parse((ROOT / "geosam" / "__init__.py").read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("geosam.")
            and node.module != "geosam._version"
        ):
            names[str(node.module).split(".")[1]] += [alias.name for alias in node.names]
    return {title: sorted(names.pop(room)) for room, title in SECTIONS.items() if room in names} | (
        {"More": sorted(chain.from_iterable(names.values()))} if names else {}
    )


def page_of(name: str) -> str:
    """Return the page of a public name; `Session` and `session` need two, also where case does not count."""
    return f"api/{'classes' if name[0].isupper() else 'functions'}/{name}.md"


def with_links_of_the_site(text: str) -> str:
    """Return Markdown whose links to files of the repository lead to pages of the site."""
    for prefix in ("../docs/", "docs/"):
        text = text.replace(f"]({prefix}", "](")
    for source, page in PAGES.items():
        text = text.replace(f"](../{source}", f"]({page}").replace(f"]({source}", f"]({page}")
    return text


def on_config(config: Any) -> Any:
    """List the pages of the public names in the navigation."""
    (python,) = (entry["Python"] for entry in config.nav if "Python" in entry)
    sections = [{title: [{name: page_of(name)} for name in names]} for title, names in public_names().items()]
    python[1:1] = sections
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not written in docs/."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=with_links_of_the_site(text)))
    for name in chain.from_iterable(public_names().values()):
        files.append(File.generated(config, page_of(name), content=f"::: geosam.{name}\n"))
    for file in files:
        # Notebooks are kept without outputs; `make notebooks` leaves executed copies.
        executed = EXECUTED / Path(file.src_uri).name
        if file.src_uri.endswith(".ipynb") and executed.is_file():
            file.abs_src_path = str(executed)
    # Drawings are made in the reader's browser. With this file the site needs no network for them either.
    if path := os.environ.get("MERMAID"):
        files.append(File.generated(config, "assets/mermaid.min.js", content=Path(path).read_bytes()))
        config.extra_javascript.append("assets/mermaid.min.js")
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links from a page of docs/ to files elsewhere to the pages these became."""
    for source, page in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}").replace(f"](../../{source}", f"](../{page}")
    return markdown
