"""Run the notebooks of docs/notebooks from top to bottom; executed copies go to build/notebooks, for the site.

Run: python docs/_site/run_notebooks.py [NAME ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
SOURCE, TARGET = ROOT / "docs" / "notebooks", ROOT / "build" / "notebooks"
#: Seconds that one cell may take, on a slow machine.
TIMEOUT_S = 900


def run(path: Path) -> None:
    """Execute a notebook in the target folder and write a copy with its outputs there."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(TARGET)}})
    with TemporaryDirectory() as sockets:
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{sockets}/kernel"  # files in place of ports
        client.execute()
    nbformat.write(notebook, TARGET / path.name)


def main(names: list[str]) -> int:
    """Run the named notebooks, all of them without a name; say how long each took, or which cell failed."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for path in [SOURCE / f"{name}.ipynb" for name in names] or sorted(SOURCE.glob("*.ipynb")):
        start = time.monotonic()
        try:
            run(path)
        except CellExecutionError as error:
            sys.stderr.write(f"error: a cell failed: {path}:\n{error}\n")
            return 1
        sys.stdout.write(f"{path.stem}: {time.monotonic() - start:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
