"""Downloads from a misbehaving server on the loopback interface."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving_server import Server, serving

from velodrome.foundation import download as downloading
from velodrome.foundation.download import DownloadError, download, download_part

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloading, "CHUNK_BYTES", 1000)
    with serving(Server(BODY)) as server:
        server.headers = [("X-Answer", "yes")]
        yield server


def fetch(server: Server, target: Path, **options) -> Path:
    settings = {"size": len(BODY), "sha256": SHA256, "pause_seconds": 0.0} | options
    return download(server.url, target, **settings)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server: Server, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    target = tmp_path / "new" / "data.bin"
    fetch(server, target, progress=lambda *done: seen.append(done))
    assert target.read_bytes() == BODY
    assert seen[0] == (1000, len(BODY)) and seen[-1] == (len(BODY), len(BODY))
    assert names(target.parent) == ["data.bin"]
    fetch(server, target)
    assert server.ranges == [None]


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path):
    target = tmp_path / "data.bin"
    target.write_bytes(bytes(len(BODY)))
    assert fetch(server, target).read_bytes() == BODY


def test_a_dropped_connection_is_resumed(server: Server, tmp_path: Path):
    server.drop_after = [2500, 1000]
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == [None, "bytes=2500-", "bytes=3500-"]


def test_a_later_call_resumes(server: Server, tmp_path: Path):
    server.drop_after = [2500]
    target = tmp_path / "data.bin"
    with pytest.raises(DownloadError, match="2,500 bytes are kept and will be resumed"):
        fetch(server, target, attempts=1)
    assert names(tmp_path) == ["data.bin.part", "data.bin.part.json"]
    assert fetch(server, target).read_bytes() == BODY
    assert server.ranges == [None, "bytes=2500-"]


def test_what_changed_on_the_server_is_fetched_from_the_start(server: Server, tmp_path: Path):
    server.drop_after = [2500]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "data.bin", attempts=1)
    server.etag = '"two"'
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY


def answer_every_range(server: Server) -> None:
    """Make the server send a part whenever one is asked for, and name no version."""
    base: Any = server.RequestHandlerClass

    class Handler(base):
        def do_GET(self) -> None:
            if "If-Range" not in self.headers:
                self.headers["If-Range"] = ""
            super().do_GET()

    server.etag = ""
    handler: Any = Handler
    server.RequestHandlerClass = handler


def test_with_a_known_hash_a_download_is_resumed_without_a_version(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.drop_after = [2500, 1000]
    with pytest.raises(DownloadError, match="2,500 bytes are kept and will be resumed"):
        fetch(server, tmp_path / "data.bin", attempts=1)
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == [None, "bytes=2500-", "bytes=3500-"]
    assert names(tmp_path) == ["data.bin"]


def test_a_weak_version_is_none(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.headers.append(("ETag", 'W/"one"'))
    server.drop_after = [2500]
    received: list[int] = []
    fetch(server, tmp_path / "data.bin", progress=lambda done, total: received.append(done))
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert received == sorted(received)  # nothing was sent twice


def test_pieces_of_two_files_are_not_joined(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.body = bytes(len(BODY))
    server.drop_after = [2500]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "data.bin", attempts=1)
    server.body = BODY
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == [None, "bytes=2500-", None]


def test_a_wrong_file_is_fetched_only_twice(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.body = bytes(len(BODY))
    server.drop_after = [2500, len(BODY), 2500]  # dropped, the rest, dropped, the rest
    with pytest.raises(DownloadError, match="expected SHA-256"):
        fetch(server, tmp_path / "data.bin")
    assert server.ranges == [None, "bytes=2500-", None, "bytes=2500-"]
    assert names(tmp_path) == []


def test_without_a_version_and_a_hash_nothing_is_continued(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.drop_after = [2500]
    download_part(server.url, tmp_path / "data.part", size=len(BODY), pause_seconds=0.0)
    assert (tmp_path / "data.part").read_bytes() == BODY
    assert server.ranges == [None, None]


def test_a_file_that_became_shorter_is_fetched_from_the_start(server: Server, tmp_path: Path):
    answer_every_range(server)
    server.drop_after = [2500]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "data.bin", attempts=1)
    server.failures = [416]  # no such range
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == [None, "bytes=2500-", None]


def test_a_wrong_hash_is_refused_and_not_kept(server: Server, tmp_path: Path):
    server.body = BODY[:-1] + b"\x00"
    with pytest.raises(DownloadError, match=rf"expected SHA-256 {SHA256}, found \w+. Nothing was"):
        fetch(server, tmp_path / "data.bin")
    assert names(tmp_path) == []


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", BODY + b"more"])
def test_a_wrong_size_is_refused(server: Server, tmp_path: Path, body: bytes):
    server.body = body
    with pytest.raises(DownloadError, match=r"expected 10,240 bytes, found [\d,]+\. Nothing was"):
        fetch(server, tmp_path / "data.bin")
    assert names(tmp_path) == []


def test_errors_of_the_server(server: Server, tmp_path: Path):
    server.failures = [503, 500]
    assert fetch(server, tmp_path / "data.bin").read_bytes() == BODY
    server.failures = [404]
    with pytest.raises(DownloadError, match="could not fetch http://.*: HTTP 404"):
        fetch(server, tmp_path / "other.bin")
    assert len(server.ranges) == 4


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/data.bin"
    with pytest.raises(DownloadError, match="could not fetch .*refused"):
        download(url, tmp_path / "data.bin", size=1, sha256=SHA256)


def test_headers_are_returned_also_for_a_file_that_was_there(server: Server, tmp_path: Path):
    part = tmp_path / "data.bin.part"
    for _ in range(2):
        headers = download_part(server.url, part, size=len(BODY), keep_headers=("X-Answer",))
        assert headers == {"X-Answer": ["yes"]}
    assert len(server.ranges) == 1
