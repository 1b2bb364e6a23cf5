"""The plugin's zip: its files, checked, and the same bytes every time.

`package.py copies` copies the modules that library and plugin share. `package.py zip FOLDER` builds
`geosam_qgis-VERSION.zip`. The checks are rules of the repository of plugins (plugins.qgis.org); `gate.py` runs the
tools of that repository.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "geosam_qgis"
LIBRARY = HERE.parent / "geosam"

#: The library's modules that the plugin has byte copies of.
SHARED = {
    LIBRARY / "apps" / "worker" / "protocol.py": PLUGIN / "protocol.py",
    LIBRARY / "prompts" / "draft.py": PLUGIN / "draft.py",
}

REQUIRED_KEYS = (
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
)
SUFFIXES = {".py", ".txt", ".svg", ".ts", ".qm", ".html"}
LICENSE = "LICENSE"
MAX_BYTES = 25_000_000
#: Time of every file in the zip: the earliest one of the format.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)


class PackagingError(Exception):
    """A plugin that must not be packed; the message has the reason."""


def copy_shared() -> None:
    """Bring the plugin's copies of shared modules up to date."""
    for source, copy in SHARED.items():
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
            sys.stdout.write(f"copied {source.relative_to(HERE.parent)}\n")


def metadata() -> dict[str, str]:
    """Return the values of `metadata.txt`, read as the repository of plugins reads it."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read_string((PLUGIN / "metadata.txt").read_text(encoding="utf-8"))
    return dict(parser["general"])


def shipped() -> list[Path]:
    """Return the files of the plugin, sorted, without caches.

    Raises:
        PackagingError: A file is of a kind that the plugin has no use for.
    """
    files = sorted(path for path in PLUGIN.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    for path in files:
        if path.suffix not in SUFFIXES and path != PLUGIN / LICENSE:
            raise PackagingError(f"{path}: found {path.suffix or 'no extension'}, expected one of {SUFFIXES}")
    return files


def check() -> None:
    """Check all rules that need no tools of `gate.py`.

    Raises:
        PackagingError: A rule of the repository of plugins, or of this one, is broken.
    """
    values = metadata()
    missing = [key for key in REQUIRED_KEYS if not values.get(key, "").strip()]
    if missing:
        raise PackagingError(f"{PLUGIN / 'metadata.txt'}: {', '.join(missing)} missing")
    if not (PLUGIN / values["icon"]).is_file():
        raise PackagingError(f"{PLUGIN / 'metadata.txt'}: icon={values['icon']}: there is no such file")
    for name in (LICENSE, "__init__.py"):
        if not (PLUGIN / name).is_file():
            raise PackagingError(f"{PLUGIN / name} is missing")
    if PLUGIN.name != PLUGIN.name.lower() or not PLUGIN.name.isidentifier():
        raise PackagingError(f"the folder's name: found {PLUGIN.name}, expected a lowercase identifier")
    for source, copy in SHARED.items():
        if copy.read_bytes() != source.read_bytes():
            raise PackagingError(f"{copy} differs from {source}. Run `make plugin-copies`")


def compiled_translations(folder: Path) -> list[Path]:
    """Compile the `.ts` files with Qt's `lrelease`; without it, print a note and return no files.

    Raises:
        PackagingError: `lrelease` refuses a file.
    """
    sources = sorted((PLUGIN / "i18n").glob("*.ts"))
    lrelease = shutil.which("lrelease")
    if lrelease is None:
        sys.stdout.write("note: no translations, since lrelease is missing (Debian: qttools5-dev-tools)\n")
        return []
    results = [folder / f"{source.stem}.qm" for source in sources]
    for source, result in zip(sources, results):
        command = [lrelease, "-silent", "-nounfinished", str(source), "-qm", str(result)]
        if subprocess.run(command, check=False).returncode != 0:
            raise PackagingError(f"{source}: lrelease refused it")
    return results


def build(folder: Path) -> Path:
    """Write the zip into a folder, and return its path.

    Raises:
        PackagingError: See `check`; or the zip is too large.
    """
    check()
    target = folder / f"{PLUGIN.name}-{metadata()['version']}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        members = {path.relative_to(PLUGIN.parent).as_posix(): path for path in shipped()}
        members.update({f"{PLUGIN.name}/i18n/{path.name}": path for path in compiled_translations(Path(scratch))})
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(members):
                entry = zipfile.ZipInfo(name, TIMESTAMP)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, whose permissions follow: readable, not executable
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, members[name].read_bytes())
    if target.stat().st_size >= MAX_BYTES:
        raise PackagingError(f"{target}: found {target.stat().st_size} bytes, expected fewer than {MAX_BYTES}")
    return target


def main(arguments: list[str]) -> int:
    """Run the command of the command line, and return the exit code."""
    if arguments == ["copies"]:
        copy_shared()
        return 0
    if len(arguments) != 2 or arguments[0] != "zip":
        sys.stderr.write("usage: package.py copies | package.py zip FOLDER\n")
        return 2
    try:
        target = build(Path(arguments[1]))
    except PackagingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{target} ({target.stat().st_size / 1e3:.0f} kB)\n")
    values = metadata()
    for key in ("tracker", "repository", "homepage", "email"):
        if ".example" in values[key]:
            sys.stdout.write(f"note: {key}={values[key]} is a placeholder: set it before an upload\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
