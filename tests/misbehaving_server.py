"""A server of one file on the loopback interface, which misbehaves on request."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, or the part that is asked for.

    Attributes:
      body: The content of the file.
      etag: Its version; no such header if empty.
      headers: Further headers of an answer, as pairs.
      drop_after: Bytes to send before hanging up, one for each request.
      failures: Status codes of the first answers.
      ranges: The ``Range`` header of each request.
    """

    def __init__(self, body: bytes, *, name: str = "data.bin"):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.body = body
        self.etag = '"one"'
        self.headers: list[tuple[str, str]] = []
        self.drop_after: list[int] = []
        self.failures: list[int] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{self.name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - only `Server` uses it

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.failures:
            self.send_error(server.failures.pop(0))
            return
        start = 0
        if asked and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            end = len(server.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(server.body)}")
        else:
            self.send_response(200)
        rest = server.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        if server.etag:
            self.send_header("ETag", server.etag)
        for header in server.headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(rest[: server.drop_after.pop(0)] if server.drop_after else rest)

    def log_message(self, format: str, *args: object) -> None:
        del format, args  # the server keeps quiet


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Answer requests for the length of a ``with`` block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
