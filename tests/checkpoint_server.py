"""A web server on this machine that offers one file as a checkpoint's publisher would, and can be told to fail."""

import hashlib
import io
import random
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from geosam.segmenters.weights.manifest import Checkpoint, manifest


def archive(seed):
    """A zip archive of the outer form that PyTorch writes, large enough for several blocks of a transfer."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo("tiny/data.pkl"), b"\x80\x02}.")
        made.writestr(zipfile.ZipInfo("tiny/data/0"), random.Random(seed).randbytes(3_000_000))
    return file.getvalue()


CONTENT = archive(0)


class Server(ThreadingHTTPServer):
    """Serves `content` under any name; also as a proxy, which it is to those who ask for a whole URL."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.tag = None
        """ETag to send in place of one made from the content; empty for none."""
        self.date = None
        """Last-Modified, if any."""
        self.knows_ranges = True
        self.cut_after = None
        """Hang up after so many bytes of each body."""
        self.fault = None
        """Called with the handler in place of an answer."""
        self.gate = threading.Event()
        """Bodies stop in the middle until it is set."""
        self.gate.set()
        self.halfway = threading.Event()
        """Set when a body has come to its middle."""
        self.asked = []
        """(path, Range or None) of every request."""

    def handle_error(self, *_):
        """Clients hang up in many of the tests."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.fault is not None:
            server.fault(self)
            return
        content = server.content
        tag = f'"{hashlib.sha256(content).hexdigest()}"' if server.tag is None else server.tag
        same = self.headers.get("If-Range") in (None, tag, server.date)
        headers = {name: value for name, value in (("ETag", tag), ("Last-Modified", server.date)) if value}
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if found and server.knows_ranges and same:
            first = int(found[1])
            if first >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[first:], headers)
            return
        self.answer(200, content, headers)

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.server.cut_after
        sent = body if cut is None else body[:cut]
        middle = len(sent) // 2
        try:
            self.wfile.write(sent[:middle])
            self.server.halfway.set()
            self.server.gate.wait(20)
            self.wfile.write(sent[middle:])
        except OSError:  # the client has hung up
            pass
        self.close_connection = len(sent) < len(body)


@contextmanager
def serving(content=CONTENT):
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def enter(monkeypatch, url, content=CONTENT, *, name="tiny", sha256=None, size=None):
    """Put a checkpoint into the manifest; `sha256` False for one whose hash nobody has attested."""
    digest = None if sha256 is False else sha256 or hashlib.sha256(content).hexdigest()
    checkpoint = Checkpoint(
        name=name,
        family="sam",
        url=f"{url}/{name}.pth",
        licence="Apache-2.0",
        sha256=digest,
        attested=None if digest is None else "this test",
        bytes=size,
    )
    monkeypatch.setitem(manifest._entries, name, checkpoint)
    return checkpoint


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def part_in(folder):
    """Files that an interrupted download leaves."""
    (part,) = folder.rglob("*.part")
    return part


def stop_at(share):
    """A progress that presses Ctrl-C when so much has come."""

    def progress(done, total):
        if done >= share * total:
            raise KeyboardInterrupt

    return progress
