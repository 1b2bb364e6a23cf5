"""The worker's protocol: JSON-RPC 2.0 messages, one JSON object a line, UTF-8, over the pipes of a child process.

Both sides use this module; the QGIS plugin carries a copy of it. So it needs nothing but the standard library, and no
newer syntax than Python 3.9. The methods are described in `docs/worker.md`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn, Union

#: Raised when a client of an older number could misunderstand something.
VERSION = 1
#: Longest line, in bytes without its line feed.
MAX_LINE = 16 * 1024 * 1024
#: Longest id that is a text, in characters.
MAX_ID = 1000

#: Codes of JSON-RPC 2.0.
PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
#: geosam refuses; `data` has the class of the error and the exit code of the command line.
REFUSED = -32000
#: The request was cancelled by its client.
CANCELLED = -32001
#: A newer request of the same stream has taken its place.
SUPERSEDED = -32002
#: Too many requests are waiting.
BUSY = -32003

Id = Union[int, str]
Message = dict[str, Any]


class ProtocolError(ValueError):
    """A line that is no message; `code` is the one to answer with, `id` that of the request where it can be told."""

    def __init__(self, code: int, text: str, id: Id | None = None) -> None:  # noqa: A002 - JSON-RPC's own word
        super().__init__(text)
        self.code = code
        self.id = id


class Request(NamedTuple):
    """A call that wants an answer, or a notification, which wants none."""

    method: str
    """What is to be done."""
    params: dict[str, Any]
    """Arguments by name."""
    id: Id | None
    """Told again in the answer; None for a notification."""


class Reply(NamedTuple):
    """The answer to a request: a result, or why there is none."""

    id: Id | None
    """Of the request; None where the worker could not tell which one was meant."""
    result: Any
    """What the method returns."""
    error: dict[str, Any] | None
    """`code`, `message` and perhaps `data`; None if all went well."""


def request(id: Id, method: str, params: Message) -> bytes:  # noqa: A002
    """The line of a request."""
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def notification(method: str, params: Message) -> bytes:
    """The line of a message that wants no answer."""
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def result(id: Id, value: Any) -> bytes:  # noqa: A002
    """The line of an answer."""
    return encode({"jsonrpc": "2.0", "id": id, "result": value})


def failure(id: Id | None, code: int, text: str, data: Message | None = None) -> bytes:  # noqa: A002
    """The line that says why there is no answer."""
    error: Message = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    return encode({"jsonrpc": "2.0", "id": id, "error": error})


def encode(message: Message) -> bytes:
    """A message as a line with its line feed.

    Raises:
        ValueError: it holds a number that is not finite, or is too long.
    """
    line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()  # escapes: names may be no Unicode
    if len(line) > MAX_LINE:
        raise ValueError(f"a message of {len(line)} bytes, at most {MAX_LINE} wanted")
    return line + b"\n"


def decode(line: bytes) -> Request | Reply:
    """Read a line.

    Raises:
        ProtocolError: it is no message of this protocol.
    """
    message = _object(line)
    id = message.get("id")  # noqa: A001
    number = isinstance(id, int) and not isinstance(id, bool)
    if not (id is None or number or (isinstance(id, str) and len(id) <= MAX_ID)):
        raise ProtocolError(INVALID_REQUEST, f"id: a whole number or a text of at most {MAX_ID} characters wanted")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'jsonrpc: "2.0" wanted', id)
    if "method" not in message:
        return _reply(message, id)
    method, params = message["method"], message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, "method: a text wanted", id)
    if "id" in message and id is None:
        raise ProtocolError(INVALID_REQUEST, "id: null cannot be answered; leave it out in a notification")
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_PARAMS, "params: an object wanted", id)
    return Request(method, params, id)


class Lines:
    """Complete lines out of the pieces that a pipe delivers; never keeps more than the longest line allowed."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` completes, without line feeds.

        Raises:
            ProtocolError: a line is too long; what follows cannot be understood, so the pipe has to be closed.
        """
        *ended, rest = piece.split(b"\n")
        lines = []
        for part in ended:
            self._keep(part)
            lines.append(bytes(self._begun))
            self._begun.clear()
        self._keep(rest)
        return lines

    def _keep(self, part: bytes) -> None:
        if len(self._begun) + len(part) > MAX_LINE:
            raise ProtocolError(INVALID_REQUEST, f"a line of more than {MAX_LINE} bytes")
        self._begun += part


def _object(line: bytes) -> Message:
    try:
        message = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # too deep is a RecursionError
        raise ProtocolError(PARSE_ERROR, f"no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "an object wanted; there are no batches")
    return message


def _reply(message: Message, id: Id | None) -> Reply:  # noqa: A002
    error = message.get("error")
    if ("result" in message) == ("error" in message):
        raise ProtocolError(INVALID_REQUEST, "a method, a result or an error wanted", id)
    if "error" in message and not (
        isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
    ):
        raise ProtocolError(INVALID_REQUEST, "error: code and message wanted", id)
    return Reply(id, message.get("result"), error)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
