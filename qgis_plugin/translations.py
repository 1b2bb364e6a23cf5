"""The lists of texts to translate: every text of the plugin's source, with its translations.

`translations.py` updates `geosam_qgis/i18n/*.ts`: it adds new texts as unfinished, and removes texts that the source
does not have any more. Edit these files with Qt Linguist; `package.py` compiles them. A new language begins as a copy
of `geosam_de.ts` without its translations, with another code in the name and in the attribute `language`.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from xml.etree.ElementTree import parse
from xml.sax.saxutils import escape

PLUGIN = Path(__file__).resolve().parent / "geosam_qgis"
#: The context that `texts.tr` names.
CONTEXT = "geosam"


def texts(folder: Path = PLUGIN) -> list[str]:
    """Return the texts in calls of `tr`, each once, sorted."""
    literals: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                literals.update(
                    part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
    return sorted(literals)


def translated(path: Path) -> dict[str, str]:
    """Return the finished translations of a file, by their text."""
    done = {}
    for message in parse(path).iter("message"):  # noqa: S314  # a file of this repository
        source, translation = message.find("source"), message.find("translation")
        if source is not None and translation is not None and translation.get("type") is None and translation.text:
            done[source.text or ""] = translation.text
    return done


def document(language: str, done: dict[str, str], sources: list[str]) -> str:
    """Return the contents of a `.ts` file for these texts."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<!DOCTYPE TS>",
        f'<TS version="2.1" language="{language}" sourcelanguage="en">',
        "<context>",
        f"    <name>{CONTEXT}</name>",
    ]
    for text in sources:
        unfinished = "" if text in done else ' type="unfinished"'
        lines += [
            "    <message>",
            f"        <source>{escape(text)}</source>",
            f"        <translation{unfinished}>{escape(done.get(text, ''))}</translation>",
            "    </message>",
        ]
    return "\n".join([*lines, "</context>", "</TS>", ""])


def up_to_date(path: Path) -> str:
    """Return the expected contents of a `.ts` file."""
    return document(path.stem.split("_", 1)[1], translated(path), texts())


def main() -> int:
    """Update every file, print the share of translated texts, and return the exit code."""
    sources = set(texts())
    for path in sorted((PLUGIN / "i18n").glob("*.ts")):
        path.write_text(up_to_date(path), encoding="utf-8")
        sys.stdout.write(f"{path.name}: {len(sources & translated(path).keys())} of {len(sources)} texts translated\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
