"""The protocol's messages: what one side writes the other reads, and nothing else passes."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.apps.worker import protocol
from geosam.apps.worker.protocol import Lines, ProtocolError, Reply, Request

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ids = st.integers() | st.text()
#: How Python keeps bytes of names that are no UTF-8.
surrogates = st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]), min_size=1)


@given(ids, st.text(), st.dictionaries(st.text(), values))
def test_a_request_is_read_as_it_was_written(id_, method, params):
    line = protocol.request(id_, method, params)
    assert line.count(b"\n") == 1
    assert protocol.decode(line[:-1]) == Request(method, params, id_)


@given(st.text(), st.dictionaries(st.text(), values))
def test_a_notification_has_no_id(method, params):
    assert protocol.decode(protocol.notification(method, params)) == Request(method, params, None)


@given(ids, values)
def test_a_result_is_read_as_it_was_written(id_, value):
    assert protocol.decode(protocol.result(id_, value)) == Reply(id_, value, None)


@given(st.none() | ids, st.integers(), st.text(), st.none() | st.dictionaries(st.text(), values))
def test_a_failure_is_read_as_it_was_written(id_, code, text, data):
    error = {"code": code, "message": text} if data is None else {"code": code, "message": text, "data": data}
    assert protocol.decode(protocol.failure(id_, code, text, data)) == Reply(id_, None, error)


@given(surrogates)
def test_texts_that_are_no_unicode_survive(text):
    line = protocol.request(text, "open", {"path": text})
    line.decode("ascii")
    assert protocol.decode(line) == Request("open", {"path": text}, text)


@pytest.mark.fault("F14")
@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_bytes_are_a_message_or_refused_with_a_code(line):
    try:
        protocol.decode(line)
    except ProtocolError as error:
        assert error.code in (protocol.PARSE_ERROR, protocol.INVALID_REQUEST)  # noqa: PT017 - either is fine


@pytest.mark.fault("F14")
@given(
    st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"]), values | st.just("2.0"))
)
def test_objects_are_a_message_or_refused_with_the_id_where_it_is_one(message):
    try:
        protocol.decode(json.dumps(message).encode())
    except ProtocolError as error:
        known = message.get("id")
        is_id = isinstance(known, (int, str)) and not isinstance(known, bool)  # short, as these are
        assert error.id == (known if is_id else None)  # noqa: PT017


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"", protocol.PARSE_ERROR, None),
        (b'{"jsonrpc": "2.0", "id": 1, "meth', protocol.PARSE_ERROR, None),
        (b"[" * 100_000, protocol.PARSE_ERROR, None),
        (b'{"a": NaN}', protocol.PARSE_ERROR, None),
        (b'{"a": -Infinity}', protocol.PARSE_ERROR, None),
        (b'{"a": ' + b"9" * 5000 + b"}", protocol.PARSE_ERROR, None),
        (b'{"a": "\xff"}', protocol.PARSE_ERROR, None),
        (b"[]", protocol.INVALID_REQUEST, None),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "status"}]', protocol.INVALID_REQUEST, None),
        (b'{"id": 1, "method": "status"}', protocol.INVALID_REQUEST, 1),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "status"}', protocol.INVALID_REQUEST, 1),
        (b'{"jsonrpc": "2.0", "id": 1}', protocol.INVALID_REQUEST, 1),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 1}', protocol.INVALID_REQUEST, 1),
        (b'{"jsonrpc": "2.0", "id": null, "method": "status"}', protocol.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": true, "method": "status"}', protocol.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "status"}', protocol.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "status"}', protocol.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": "%s", "method": "status"}' % (b"x" * 1001), protocol.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "status", "params": []}', protocol.INVALID_PARAMS, "a"),
        (
            b'{"jsonrpc": "2.0", "id": "a", "result": 1, "error": {"code": 1, "message": ""}}',
            protocol.INVALID_REQUEST,
            "a",
        ),
        (b'{"jsonrpc": "2.0", "id": "a", "error": {"code": 1}}', protocol.INVALID_REQUEST, "a"),
    ],
)
def test_what_is_no_message_is_refused(line, code, id_):
    with pytest.raises(ProtocolError) as caught:
        protocol.decode(line)
    assert (caught.value.code, caught.value.id) == (code, id_)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_written(number):
    with pytest.raises(ValueError, match="JSON"):
        protocol.result(1, {"a": number})


@given(st.lists(st.binary().filter(lambda data: b"\n" not in data)), st.data())
def test_lines_come_whole_whatever_pieces_the_pipe_delivers(expected, data):
    stream = b"".join(line + b"\n" for line in expected) + b"begun"
    lines, found = Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:size])
        stream = stream[size:]
    assert found == expected


@pytest.mark.fault("F13")
def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_LINE", 100)
    assert Lines().feed(b"x" * 100 + b"\n") == [b"x" * 100]
    for pieces in ([b"x" * 101], [b"x" * 60, b"x" * 41], [b"ok\n", b"x" * 101 + b"\n"]):
        lines = Lines()
        with pytest.raises(ProtocolError, match="more than 100 bytes"):
            [lines.feed(piece) for piece in pieces]


@pytest.mark.fault("F13")
def test_a_message_over_the_limit_is_not_written():
    with pytest.raises(ValueError, match="at most 16777216"):
        protocol.result(1, "x" * protocol.MAX_LINE)


def test_the_protocol_needs_nothing_but_the_standard_library():
    code = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import protocol; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - {'protocol'}; "
        "sys.exit(str(new - set(sys.stdlib_module_names)) if new - set(sys.stdlib_module_names) else 0)"
    )
    folder = protocol.__file__.rsplit("/", 1)[0]
    done = subprocess.run([sys.executable, "-S", "-c", code, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
