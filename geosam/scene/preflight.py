"""Pre-flight: the check that a path may be opened, before GDAL gets it.

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

#: Seconds that a server may stay silent, and seconds to wait before each further try.
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
#: Bytes of a file that are read to recognize it.
_HEAD_BYTES = 4096
#: Size of the largest VRT that is opened: it is parsed as a whole.
_MAX_VRT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A raster that passed the pre-flight."""

    name: str
    """The path as the user wrote it, or the URL; for messages."""
    uri: str
    """Name that GDAL opens: an absolute path, or the URL behind /vsicurl/."""
    driver: str | None
    """Only driver that may open it; None allows any."""
    remote: bool = False
    """True if it is read over HTTP."""
    alone: bool = False
    """True if side-car files are ignored (untrusted input)."""
    version: str = ""
    """Version of a remote file: size, entity tag and date, as the server states them."""


def check_source(path: str | os.PathLike[str], *, untrusted: bool = False, sha256: str | None = None) -> Source:
    """Check the path of a scene.

    Args:
        path: a path or an http(s) URL.
        untrusted: allow only regular files in self-contained formats, and ignore their side-cars.
        sha256: hash (hex) that the file must have: a codec does not notice every damaged byte.

    Raises:
        UnreadableScene: there is no file, its kind is not allowed, or it has other content than expected.
        UsageError: `sha256` is no hash.
    """
    text = os.fspath(path)
    expected = _hash(sha256)
    if re.match(r"https?://", text, re.IGNORECASE):
        if untrusted:
            raise _refused_url(text, "untrusted")
        if expected is not None:
            raise _refused_url(text, "sha256")
        return _check_url(text)
    path, head = _check_file(text)
    driver = _driver_of(head)
    if expected is not None:
        _check_content(path, text, expected)
    if b"<VRTDataset" in head:  # GDAL recognizes a VRT by its content, whatever its name
        if untrusted:
            raise UnreadableScene(
                f"a VRT is not allowed with `untrusted`: {text}: found a VRT, which may read any file of this machine, "
                "expected a self-contained raster.",
                remedy="Convert it with gdal_translate first.",
                code="vrt-is-untrusted",
                scene=text,
            )
        _check_vrt(path, text, set())
    elif untrusted and driver is None:
        raise UnreadableScene(
            f"not a self-contained raster: {text}: it {describe_bytes(head)}; expected TIFF, PNG, JPEG or JPEG 2000 "
            "with `untrusted`.",
            remedy="Convert it with gdal_translate first.",
            code="raster-not-self-contained",
            scene=text,
        )
    return Source(text, path, driver if untrusted else None, alone=untrusted)


def _refused_url(url: str, parameter: str) -> UnreadableScene:
    return UnreadableScene(
        f"a URL is not allowed with `{parameter}`: {url}: expected a local file.",
        remedy="Download the file first.",
        code="url-not-allowed",
        scene=url,
        parameter=parameter,
    )


def describe_bytes(head: bytes) -> str:
    """Describe what the first bytes of a file look like, as the end of a sentence."""
    text = " ".join(head[:60].decode("utf-8", "replace").split())
    shown = "".join(c if c.isprintable() else "." for c in text)[:40]
    if re.match(rb"\s*(<!doctype html|<html|<head|<\?xml[^>]*>\s*<html)", head, re.IGNORECASE):
        return f'starts with "{shown}": a web page, probably a login or error page saved under this name'
    return f'starts with "{shown}"'


def read_head(name: str) -> bytes:
    """Read the first bytes of a local file."""
    with open(name, "rb") as file:
        return file.read(_HEAD_BYTES)


def _check_file(text: str) -> tuple[str, bytes]:
    if not text:
        raise UnreadableScene(
            "the path of the scene is empty: expected a file or an http(s) URL.",
            remedy="Name a raster file.",
            code="scene-path-empty",
        )
    if text == "-":
        raise UnreadableScene(
            "a scene cannot be read from standard input: found -, expected a file or an http(s) URL.",
            remedy="Name a raster file.",
            code="scene-from-stdin",
        )
    name = os.path.abspath(text)  # a name such as GTIFF_DIR:1:a.tif becomes a path, and no driver sees its prefix
    if name.startswith("/vsi") or text.lstrip().startswith("<"):
        raise UnreadableScene(
            f"not a file name: {text[:80]}: GDAL's virtual files and inline XML are not opened, expected an existing "
            "file or an http(s) URL.",
            remedy="Save the raster as a file.",
            code="scene-name-not-a-file",
        )
    try:
        info = os.stat(name)
        _check_kind(name, info)
        return name, read_head(name)
    except FileNotFoundError:
        raise _not_found(name, text) from None
    except PermissionError:
        raise UnreadableScene(
            f"permission denied: {name}: expected a file that you may read.",
            remedy="Ask its owner for the right to read it.",
            code="scene-permission-denied",
            scene=name,
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableScene):
            raise
        raise UnreadableScene(
            f"cannot read the scene: {text!r}: {error}.", remedy="Check the path.", code="scene-path-unusable"
        ) from error


def _not_found(name: str, text: str) -> UnreadableScene:
    has_prefix = re.match(r"[\w+.-]{2,}:", text)
    return UnreadableScene(
        f"no such file: {name}: expected an existing raster file or http(s) URL.",
        remedy="Leave the prefix out: GDAL's driver prefixes are not opened." if has_prefix else "Check the spelling.",
        code="scene-not-found",
        scene=name,
    )


def _check_kind(name: str, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise UnreadableScene(
            f"the scene is a directory: {name}: expected a raster file.",
            remedy="Name one of the files in it.",
            code="scene-is-a-directory",
            scene=name,
        )
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableScene(
            f"the scene is not a regular file: {name}: found a pipe or device, expected a raster file.",
            remedy="Save the raster to a file first.",
            code="scene-not-a-regular-file",
            scene=name,
        )
    if info.st_size == 0:
        raise UnreadableScene(
            f"the file is empty: {name}: found 0 bytes, expected a raster.",
            remedy="Copy or download it again.",
            code="scene-file-empty",
            scene=name,
        )


def _hash(text: str | None) -> str | None:
    if text is None or re.fullmatch(r"[0-9a-f]{64}", text, re.IGNORECASE):
        return text and text.lower()
    raise UsageError(
        f"not a SHA-256: `sha256`: found {text!r}, expected 64 hexadecimal digits, as sha256sum prints them.",
        code="not-a-sha256",
        sha256=text,
    )


def _check_content(path: str, scene: str, expected: str) -> None:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableScene(
            f"cannot read the scene: {scene}: {error}.", remedy="Check the disk.", code="scene-disk-error", scene=scene
        ) from error
    if digest != expected:
        raise UnreadableScene(
            f"another file than expected: {scene}: SHA-256: found {digest}, expected {expected}.",
            remedy="Copy or download it again.",
            code="scene-hash-differs",
            scene=scene,
            found=digest,
            expected=expected,
        )


def _driver_of(head: bytes) -> str | None:
    return next((driver for magic, driver in _SELF_CONTAINED if head.startswith(magic)), None)


def _check_vrt(name: str, scene: str, visited: set[str]) -> None:
    """Refuse raw bands and missing sources in a VRT, and in the VRTs that it reads.

    Args:
        name: path of the VRT.
        scene: the scene, for messages.
        visited: paths of the VRTs checked so far, because two of them may name each other.
    """
    visited.add(name)
    if os.path.getsize(name) > _MAX_VRT_BYTES:
        raise UnreadableScene(
            f"the VRT is too large: {scene}: found {os.path.getsize(name)} bytes, expected at most {_MAX_VRT_BYTES}.",
            remedy="Use a tiled GeoTIFF.",
            code="vrt-too-large",
            scene=scene,
        )
    with open(name, "rb") as file:
        _check_vrt_text(file.read(), name, scene, visited)


def _check_vrt_text(xml: bytes, name: str, scene: str, visited: set[str]) -> None:
    try:
        root = ET.fromstring(xml)  # noqa: S314 - expat limits entity expansion, and the size was limited above
    except ET.ParseError as error:
        raise UnreadableScene(
            f"the VRT is not valid XML: {scene}: {error}.", remedy="Create it again.", code="vrt-not-xml", scene=scene
        ) from None
    for source in _vrt_sources(root, scene):
        text = (source.text or "").strip()
        if text.startswith("<"):
            _check_vrt_text(text.encode(), name, scene, visited)
            continue
        relative = next((v for k, v in source.attrib.items() if k.lower() == "relativetovrt"), "0") == "1"
        path = os.path.join(os.path.dirname(name), text) if relative else text
        # Prefixes are left to GDAL, which opens them only where a trusted VRT names them.
        if path in visited or re.match(r"(/vsi|[\w+.-]{2,}:)", path):
            continue
        if not os.path.exists(path):
            raise UnreadableScene(
                f"a source of the VRT is missing: {scene}: expected {path}.",
                remedy="Put it back or build the VRT again.",
                code="vrt-source-missing",
                scene=scene,
                source=path,
            )
        if os.path.isfile(path) and b"<VRTDataset" in read_head(path):
            _check_vrt(path, scene, visited)


def _vrt_sources(root: ET.Element, scene: str) -> Iterator[ET.Element]:
    for element in root.iter():
        values = (*element.attrib.values(), element.text or "")
        if any("vrtrawrasterband" in value.lower() for value in values):  # an attribute, or the text of a nested VRT
            raise UnreadableScene(
                f"the VRT reads raw bytes of other files: {scene}: found a VRTRawRasterBand, which can show any file "
                "of this machine, expected bands of rasters.",
                remedy="Convert the raw data to GeoTIFF first.",
                code="vrt-reads-raw-bytes",
                scene=scene,
            )
        if element.tag.lower() in ("sourcefilename", "sourcedataset"):
            yield element


def _check_url(url: str) -> Source:
    """Request the first bytes of a URL, and refuse what is no raster in one file.

    They show that the server answers, the kind of file, and its version.
    """
    request = Request(url, headers={"Range": f"bytes=0-{_HEAD_BYTES - 1}"})  # noqa: S310 - http(s) only, see above
    for pause in (*HTTP_PAUSES, None):
        try:
            with urlopen(request, timeout=HTTP_TIMEOUT) as answer:  # noqa: S310
                head, headers = answer.read(_HEAD_BYTES), answer.headers
            break
        except HTTPError as error:
            # A server that is busy or down may recover; a refusal or a missing file stays as it is.
            reason, again = f"HTTP status {error.code} ({error.reason})", error.code >= 500 or error.code == 429
        except OSError as error:
            reason, again = str(getattr(error, "reason", error)), True
        if not again or pause is None:
            raise UnreadableScene(
                f"cannot read the scene: {url}: {reason}.",
                remedy="Check the address, or try again later.",
                code="url-unreadable",
                scene=url,
            ) from None
        time.sleep(pause)
    driver = _driver_of(head)
    if driver is None:
        content = describe_bytes(head) if head else "is empty"
        raise UnreadableScene(
            f"the URL is not a raster: {url}: HTTP status 200, but the answer {content}; expected TIFF, PNG, JPEG or "
            "JPEG 2000.",
            remedy="Check the address in a browser.",
            code="url-not-a-raster",
            scene=url,
        )
    size = (headers.get("Content-Range") or "").rpartition("/")[2] or headers.get("Content-Length") or ""
    version = "|".join((size, headers.get("ETag") or "", headers.get("Last-Modified") or ""))
    return Source(url, f"/vsicurl/{url}", driver, remote=True, version=version)
