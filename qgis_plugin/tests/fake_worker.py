"""A worker of the standard library that answers, crashes, stalls or sends nonsense on demand.

`python fake_worker.py MODE... worker`; the protocol module is the plugin's.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path


def load_protocol():
    place = Path(os.environ.get("FAKE_WORKER_PROTOCOL") or Path(__file__).parents[1] / "geosam_qgis" / "protocol.py")
    spec = importlib.util.spec_from_file_location("protocol", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules["protocol"] = module
    spec.loader.exec_module(module)
    return module


protocol = load_protocol()


def write(line):
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def say(text):
    print(text, file=sys.stderr, flush=True)


def initialize(request, modes):
    number = 99 if "other-version" in modes else protocol.VERSION
    if "refuses" in modes:
        values = {"protocol": request.params["protocol"], "expected": 99}
        return protocol.failure(request.id, protocol.REFUSED, "no", {"code": "protocol-mismatch", "values": values})
    greeting = {"protocol": number, "geosam": "0.0.0", "pid": os.getpid(), "models": []}
    return protocol.result(request.id, {**greeting, "asked": request.params, "environment": dict(os.environ)})


def obey(request):
    """Run the order in a method, before its answer."""
    method, params = request.method, request.params
    if method == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
    if method == "stall":
        time.sleep(params["seconds"])
    if method == "nonsense":
        write(params["text"].encode() + b"\n")
    if method == "say":
        say(params["text"])
    if method == "tell":
        for number in range(params["times"]):
            write(protocol.notification("progress", {"id": request.id, "done": number, "total": params["times"]}))


def answer(request):
    """Return the line of the answer, or nothing."""
    method, params = request.method, request.params
    if method in {"silence", "nonsense"}:
        return b""
    if method == "fail":
        return protocol.failure(request.id, protocol.REFUSED, "as told", {"type": "GeosamError", "exit_code": 3})
    if method == "open":
        return protocol.result(request.id, {"scene": f"{os.getpid()}:{params['path']}", "path": params["path"]})
    return protocol.result(request.id, {"pid": os.getpid(), **params})


def main(modes):
    if "dies" in modes:
        say(os.environ.get("FAKE_WORKER_LAST_WORDS", ""))
        sys.exit(3)
    if "deaf" in modes:
        time.sleep(600)
    lines = protocol.Lines()
    while piece := os.read(0, 65536):
        for line in lines.feed(piece):
            request = protocol.decode(line)
            if request.id is None:
                say(f"{request.method} {request.params}")
            elif request.method == "initialize":
                write(initialize(request, modes))
            elif request.method == "shutdown" and "stubborn" not in modes:
                write(protocol.result(request.id, {}))
                return
            else:
                obey(request)
                write(answer(request))
    if "stubborn" in modes:
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1:])
