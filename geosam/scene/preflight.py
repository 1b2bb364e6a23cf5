"""Pre-flight: what may be opened at all, found out before GDAL sees the path.

GDAL opens far more than files: network services, drivers behind a prefix, inline XML, virtual rasters that read any
file of the machine. Here a scene is an existing regular file or an http(s) address, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

from geosam.errors import UnreadableScene, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a server may stay silent, and the pauses between the tries.
HTTP_TIMEOUT = 20.0
HTTP_PAUSES = (0.5, 1.5)

#: First bytes of the formats that hold everything in one file, and the GDAL driver that reads each.
_SELF_CONTAINED = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_HEAD_BYTES = 4096
_MAX_VRT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A raster that passed the pre-flight."""

    name: str
    """The path as the user wrote it, or the URL; for messages."""
    uri: str
    """What GDAL opens."""
    driver: str | None
    """The only driver allowed to open it; None allows any."""
    remote: bool = False
    """Whether it is read over HTTP."""
    alone: bool = False
    """Whether sidecar files are ignored (untrusted input)."""
    version: str = ""
    """What the server says about the version of a remote file."""


def check_source(path: str | os.PathLike[str], *, untrusted: bool = False, sha256: str | None = None) -> Source:
    """Let a scene's path pass, or say why not.

    `untrusted` allows only regular files in self-contained formats, and ignores their sidecars. With `sha256` (hex) the
    file must have exactly that content: a codec does not notice every damaged byte.

    Raises:
        UnreadableScene: nothing there, not a file, not something that is opened at all, or not with that content.
        UsageError: `sha256` is no hash.
    """
    text = os.fspath(path)
    wanted = _hash(sha256)
    if re.match(r"https?://", text, re.IGNORECASE):
        if untrusted:
            raise UnreadableScene(f"a URL is not allowed with --untrusted: {text}. Download the file first.")
        if wanted is not None:
            raise UnreadableScene(f"a URL is not allowed with --verify: {text}. Download the file first.")
        return _check_url(text)
    path, head = _check_file(text)
    driver = _driver_of(head)
    if wanted is not None:
        _check_content(path, text, wanted)
    if b"<VRTDataset" in head:
        if untrusted:
            raise UnreadableScene(
                f"a VRT is not allowed with --untrusted: {text}: it may read any file of this machine. "
                "Convert it with gdal_translate first."
            )
        _check_vrt(path, text, set())
    elif untrusted and driver is None:
        raise UnreadableScene(
            f"not a self-contained raster: {text}: {describe_bytes(head)}, wanted TIFF, PNG, JPEG or JPEG 2000 "
            "with --untrusted. Convert it with gdal_translate first."
        )
    return Source(text, path, driver if untrusted else None, alone=untrusted)


def describe_bytes(head: bytes) -> str:
    """What the first bytes of a file look like, in words."""
    text = " ".join(head[:60].decode("utf-8", "replace").split())
    shown = "".join(c if c.isprintable() else "." for c in text)[:40]
    if re.match(rb"\s*(<!doctype html|<html|<head|<\?xml[^>]*>\s*<html)", head, re.IGNORECASE):
        return f'starts with "{shown}": a web page, probably a login or error page saved under this name'
    return f'starts with "{shown}"'


def read_head(name: str) -> bytes:
    """The first bytes of a local file."""
    with open(name, "rb") as file:
        return file.read(_HEAD_BYTES)


def _check_file(text: str) -> tuple[str, bytes]:
    if not text:
        raise UnreadableScene("no scene given: the path is empty. Name a raster file.")
    if text == "-":
        raise UnreadableScene("a scene cannot be read from standard input: -. Name a raster file.")
    name = os.path.abspath(text)
    if name.startswith("/vsi") or text.lstrip().startswith("<"):
        raise UnreadableScene(
            f"not a file name: {text[:80]}: GDAL's virtual files and inline XML are not opened, wanted an existing "
            "file or an http(s) URL. Save the raster as a file."
        )
    try:
        info = os.stat(name)
        _check_kind(name, info)
        return name, read_head(name)
    except FileNotFoundError:
        hint = "GDAL's driver prefixes are not opened" if re.match(r"[\w+.-]{2,}:", text) else "check the spelling"
        raise UnreadableScene(f"no such file: {name}: wanted an existing raster file or http(s) URL; {hint}.") from None
    except PermissionError:
        raise UnreadableScene(f"permission denied: {name}. Ask its owner for the right to read it.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableScene):
            raise
        raise UnreadableScene(f"cannot read: {text!r}: {error}. Check the path.") from error


def _check_kind(name: str, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise UnreadableScene(f"is a directory: {name}: wanted a raster file. Name one of the files in it.")
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableScene(f"not a regular file: {name}: wanted a raster file, not a pipe or device. Save it first.")
    if info.st_size == 0:
        raise UnreadableScene(f"the file is empty: {name}: 0 bytes. Copy or download it again.")


def _hash(text: str | None) -> str | None:
    if text is None or re.fullmatch(r"[0-9a-f]{64}", text, re.IGNORECASE):
        return text and text.lower()
    raise UsageError(f"--verify {text!r}: wanted a SHA-256, 64 hexadecimal digits, as `sha256sum` prints it.")


def _check_content(path: str, scene: str, wanted: str) -> None:
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableScene(f"cannot read: {scene}: {error}. Check the disk.") from error
    if found != wanted:
        raise UnreadableScene(
            f"not the file that was expected: {scene}: SHA-256 {found}, {wanted} wanted. Copy or download it again."
        )


def _driver_of(head: bytes) -> str | None:
    return next((driver for magic, driver in _SELF_CONTAINED if head.startswith(magic)), None)


def _check_vrt(name: str, scene: str, seen: set[str]) -> None:
    """Refuse raw bands and missing sources, in this VRT and in the VRTs that it reads."""
    seen.add(name)
    if os.path.getsize(name) > _MAX_VRT_BYTES:
        raise UnreadableScene(f"the VRT is too large: {scene}: more than {_MAX_VRT_BYTES} bytes. Use a tiled GeoTIFF.")
    with open(name, "rb") as file:
        _check_vrt_text(file.read(), name, scene, seen)


def _check_vrt_text(xml: bytes, name: str, scene: str, seen: set[str]) -> None:
    try:
        root = ET.fromstring(xml)  # noqa: S314 - expat limits entity expansion, and the size was limited above
    except ET.ParseError as error:
        raise UnreadableScene(f"the VRT is not valid XML: {scene}: {error}. Create it again.") from None
    for source in _vrt_sources(root, scene):
        text = (source.text or "").strip()
        if text.startswith("<"):
            _check_vrt_text(text.encode(), name, scene, seen)
            continue
        relative = next((v for k, v in source.attrib.items() if k.lower() == "relativetovrt"), "0") == "1"
        path = os.path.join(os.path.dirname(name), text) if relative else text
        if path in seen or re.match(r"(/vsi|[\w+.-]{2,}:)", path):
            continue
        if not os.path.exists(path):
            raise UnreadableScene(
                f"a source of the VRT is missing: {scene}: {path}. Put it back or build the VRT again."
            )
        if os.path.isfile(path) and b"<VRTDataset" in read_head(path):
            _check_vrt(path, scene, seen)


def _vrt_sources(root: ET.Element, scene: str) -> Iterator[ET.Element]:
    for element in root.iter():
        values = (*element.attrib.values(), element.text or "")
        if any("vrtrawrasterband" in value.lower() for value in values):
            raise UnreadableScene(
                f"the VRT reads raw bytes of other files (VRTRawRasterBand): {scene}: that could show any file of this "
                "machine. Convert the raw data to GeoTIFF first."
            )
        if element.tag.lower() in ("sourcefilename", "sourcedataset"):
            yield element


def _check_url(url: str) -> Source:
    """Ask the server for the first bytes: its status, the kind of file, and the version."""
    request = Request(url, headers={"Range": f"bytes=0-{_HEAD_BYTES - 1}"})  # noqa: S310 - http(s) only, see above
    for pause in (*HTTP_PAUSES, None):
        try:
            with urlopen(request, timeout=HTTP_TIMEOUT) as answer:  # noqa: S310
                head, headers = answer.read(_HEAD_BYTES), answer.headers
            break
        except HTTPError as error:
            reason, again = f"HTTP status {error.code} ({error.reason})", error.code >= 500 or error.code == 429
        except OSError as error:
            reason, again = str(getattr(error, "reason", error)), True
        if not again or pause is None:
            raise UnreadableScene(f"cannot read: {url}: {reason}. Check the address, or try again later.") from None
        time.sleep(pause)
    driver = _driver_of(head)
    if driver is None:
        found = describe_bytes(head) if head else "is empty"
        raise UnreadableScene(
            f"not a raster: {url}: HTTP status 200, but the answer {found}; wanted TIFF, PNG, JPEG or JPEG 2000. "
            "Check the address in a browser."
        )
    size = (headers.get("Content-Range") or "").rpartition("/")[2] or headers.get("Content-Length") or ""
    version = "|".join((size, headers.get("ETag") or "", headers.get("Last-Modified") or ""))
    return Source(url, f"/vsicurl/{url}", driver, remote=True, version=version)
