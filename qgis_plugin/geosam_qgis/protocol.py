"""The worker's protocol: JSON-RPC 2.0 messages, one JSON object a line, UTF-8, over the pipes of a child process.

Worker and client use this module; the QGIS plugin has a copy of it. So it needs only the standard library and the
syntax of Python 3.9. `docs/worker.md` describes the methods.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn, Union

#: Version of the protocol. It rises when a client of an older version could misunderstand a message.
VERSION = 1
#: Longest line, in bytes without its line feed.
MAX_LINE = 16 * 1024 * 1024
#: Longest id that is a text, in characters.
MAX_ID = 1000

#: Codes of JSON-RPC 2.0.
PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
#: geosam refuses; `data` has the class, the code and the values of the error, and the exit code of the command line.
REFUSED = -32000
#: The request was cancelled by its client.
CANCELLED = -32001
#: A newer request of the same stream replaced it.
SUPERSEDED = -32002
#: Too many requests are waiting.
BUSY = -32003

Id = Union[int, str]
Message = dict[str, Any]


class ProtocolError(ValueError):
    """A line that is no message. `code` is the code to answer with, `id` the request's id if the line has one."""

    def __init__(self, code: int, text: str, id: Id | None = None) -> None:  # noqa: A002 - JSON-RPC's own word
        super().__init__(text)
        self.code = code
        self.id = id


class Request(NamedTuple):
    """A call that gets an answer, or a notification, which gets none."""

    method: str
    """Name of the method."""
    params: dict[str, Any]
    """Arguments by name."""
    id: Id | None
    """Name of the request, repeated in the answer; None for a notification."""


class Reply(NamedTuple):
    """The answer to a request: a result or an error."""

    id: Id | None
    """Name of the request; None if the line of the request had none that could be read."""
    result: Any
    """Return value of the method."""
    error: dict[str, Any] | None
    """`code`, `message` and perhaps `data`; None for a result."""


def request(id: Id, method: str, params: Message) -> bytes:  # noqa: A002 - JSON-RPC's own word
    """Return the line of a request."""
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def notification(method: str, params: Message) -> bytes:
    """Return the line of a message that gets no answer."""
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def result(id: Id, value: Any) -> bytes:  # noqa: A002 - JSON-RPC's own word
    """Return the line of an answer with a result."""
    return encode({"jsonrpc": "2.0", "id": id, "result": value})


def failure(id: Id | None, code: int, text: str, data: Message | None = None) -> bytes:  # noqa: A002 - JSON-RPC's own word
    """Return the line of an answer with an error."""
    error: Message = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    return encode({"jsonrpc": "2.0", "id": id, "error": error})


def encode(message: Message) -> bytes:
    """Return a message as a line with its line feed.

    Raises:
        ValueError: the message has a number that is not finite, or is too long.
    """
    line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()  # ASCII: file names may be no Unicode
    if len(line) > MAX_LINE:
        raise ValueError(f"a message is too long: found {len(line)} bytes, expected at most {MAX_LINE}")
    return line + b"\n"


def decode(line: bytes) -> Request | Reply:
    """Read a line.

    Raises:
        ProtocolError: the line is no message of this protocol.
    """
    message = _object(line)
    id = message.get("id")  # noqa: A001 - the protocol's word
    number = isinstance(id, int) and not isinstance(id, bool)
    if not (id is None or number or (isinstance(id, str) and len(id) <= MAX_ID)):
        raise ProtocolError(INVALID_REQUEST, f"id: expected a whole number or a text of at most {MAX_ID} characters")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'jsonrpc: expected "2.0"', id)
    if "method" not in message:
        return _reply(message, id)
    method, params = message["method"], message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, "method: expected a text", id)
    if "id" in message and id is None:
        raise ProtocolError(INVALID_REQUEST, "id: null cannot be answered; leave it out in a notification")
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_PARAMS, "params: expected an object", id)
    return Request(method, params, id)


class Lines:
    """Complete lines out of the pieces that a pipe delivers. Never keeps more bytes than the longest line."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that `piece` completes, without line feeds.

        Raises:
            ProtocolError: a line is too long. Nothing after it can be understood, so close the pipe.
        """
        *ended, unended = piece.split(b"\n")
        lines = []
        for part in ended:
            self._keep(part)
            lines.append(bytes(self._rest))
            self._rest.clear()
        self._keep(unended)
        return lines

    def _keep(self, part: bytes) -> None:
        if len(self._rest) + len(part) > MAX_LINE:
            raise ProtocolError(INVALID_REQUEST, f"a line of more than {MAX_LINE} bytes")
        self._rest += part


def _object(line: bytes) -> Message:
    try:
        message = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # too deep is a RecursionError
        raise ProtocolError(PARSE_ERROR, f"no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "expected an object; there are no batches")
    return message


def _reply(message: Message, id: Id | None) -> Reply:  # noqa: A002 - JSON-RPC's own word
    error = message.get("error")
    if ("result" in message) == ("error" in message):
        raise ProtocolError(INVALID_REQUEST, "expected a method, a result or an error", id)
    if "error" in message and not (
        isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
    ):
        raise ProtocolError(INVALID_REQUEST, "error: expected code and message", id)
    return Reply(id, message.get("result"), error)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
