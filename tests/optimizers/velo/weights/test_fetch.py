from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import jax
import msgpack
import numpy as np
import pytest
from misbehaving_server import Server, serving
from official_tree import official_tree

from velodrome.foundation import download
from velodrome.foundation.errors import UnknownNameError, WeightsError
from velodrome.optimizers.velo.weights import official, store
from velodrome.optimizers.velo.weights.official import crc32c, fetch_weights, parse_goog_hash
from velodrome.optimizers.velo.weights.tree import init_weights


def checksums(*values: str) -> list[tuple[str, str]]:
    """The headers that the bucket sends with a file."""
    return [("x-goog-hash", value) for value in values]


def crc_of(body: bytes) -> str:
    return "crc32c=" + base64.b64encode(crc32c(body).to_bytes(4, "big")).decode()


def md5_of(body: bytes) -> str:
    return "md5=" + base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.fixture(scope="module")
def body() -> bytes:
    def default(array: jax.Array) -> msgpack.ExtType:
        parts = (array.shape, "float32", np.asarray(array).tobytes())
        return msgpack.ExtType(1, msgpack.packb(parts))

    tree = official_tree(init_weights(jax.random.key(0), 6, 3))
    packed = msgpack.packb({"params": tree, "gen_id": "0" * 32, "step": 5620}, default=default)
    assert packed is not None
    return packed


@pytest.fixture
def server(body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(official, "OFFICIAL_BYTES", len(body))
    monkeypatch.setattr(official, "OFFICIAL_HIDDEN_SIZE", 6)
    monkeypatch.setattr(official, "OFFICIAL_BANK_SIZE", 3)
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    with serving(Server(body, name="params")) as server:
        server.headers = checksums(crc_of(body), md5_of(body))
        yield server


def quick(server: Server, **options) -> Path:
    return fetch_weights("velo", url=server.url, pause_seconds=0.0, **options)


def in_cache(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_fetches_checks_and_records(server: Server, body: bytes, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    path = quick(server, progress=lambda done, total: seen.append((done, total)))
    assert path == official.official_path()
    assert path.read_bytes() == body
    assert seen[-1] == (len(body), len(body))
    assert in_cache(tmp_path) == ["params", "record.json"]
    record = official.read_record()
    assert record is not None
    assert record["sha256"] == hashlib.sha256(body).hexdigest()
    assert (record["origin"], record["checked"][:4]) == ("fetched", "md5=")
    assert store.read_weights("velo").label == "VeLO (official)"
    assert store.load_weights("velo").hidden_size == 6
    quick(server)  # it is there: nothing is asked for
    assert server.ranges == [None]


def test_a_dropped_connection_is_resumed(server: Server, body: bytes):
    server.drop_after = [2500, 1000]
    assert quick(server).read_bytes() == body
    assert server.ranges == [None, "bytes=2500-", "bytes=3500-"]


def test_a_later_call_resumes(server: Server, body: bytes, tmp_path: Path):
    server.drop_after = [2500]
    with pytest.raises(WeightsError, match="2,500 bytes are kept and will be resumed"):
        quick(server, attempts=1)
    assert in_cache(tmp_path) == ["params.part", "params.part.json"]
    assert quick(server).read_bytes() == body
    assert server.ranges == [None, "bytes=2500-"]
    assert in_cache(tmp_path) == ["params", "record.json"]


def test_a_file_that_changed_on_the_server_is_fetched_from_the_beginning(
    server: Server, body: bytes
):
    server.drop_after = [2500]
    with pytest.raises(WeightsError):
        quick(server, attempts=1)
    server.etag = '"two"'
    assert quick(server).read_bytes() == body


def test_a_busy_server_is_asked_again(server: Server, body: bytes):
    server.failures = [503, 500]
    assert quick(server).read_bytes() == body


def test_an_absent_file_is_not_asked_for_again(server: Server, tmp_path: Path):
    server.failures = [404]
    with pytest.raises(WeightsError, match="could not fetch http://.*: HTTP 404"):
        quick(server)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("kind", ["md5", "crc32c"])
def test_damage_on_the_way_is_found(server: Server, tmp_path: Path, kind: str):
    good = {"md5": md5_of, "crc32c": crc_of}[kind](server.body)
    wrong = f"{kind}={base64.b64encode(b'0123').decode()}"
    server.headers = checksums(wrong)
    expected = f"expected {wrong.replace('=', ' ', 1)}, found {good.partition('=')[2]}"
    with pytest.raises(WeightsError, match=f"damaged on its way: {re.escape(expected)}"):
        quick(server)
    assert in_cache(tmp_path) == []


def test_a_server_without_checksums_is_not_trusted(server: Server, tmp_path: Path):
    server.headers = []
    with pytest.raises(WeightsError, match="expected md5 or crc32c in the header x-goog-hash"):
        quick(server)
    assert in_cache(tmp_path) == []


@pytest.mark.parametrize("body_now", [b"<html>Sign in</html>", b"x" * 20_000])
def test_another_size_is_refused(server: Server, tmp_path: Path, body_now: bytes):
    server.body = body_now
    with pytest.raises(WeightsError, match=r"expected [\d,]+ bytes, found [\d,]+\. Nothing was k"):
        quick(server)
    assert in_cache(tmp_path) == []


def test_other_weights_are_refused(server: Server, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(official, "OFFICIAL_HIDDEN_SIZE", 512)
    with pytest.raises(WeightsError, match="expected LSTM 512 and bank 3, found 6 and 3"):
        quick(server)
    assert in_cache(tmp_path) == []


def test_a_change_after_the_first_use_is_refused(server: Server, body: bytes, tmp_path: Path):
    first = quick(server)
    first.unlink()
    at = body.index(b"gen_id") + 20  # inside the identifier, so that everything else is right
    server.body = body[:at] + b"1" + body[at + 1 :]
    server.headers = checksums(md5_of(server.body))
    with pytest.raises(
        WeightsError, match=r"expected SHA-256 \w+, found \w+.*delete .*record.json"
    ):
        quick(server)
    assert in_cache(tmp_path) == ["record.json"]


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/params"
    with pytest.raises(WeightsError, match="could not fetch .*refused.*network.*'velo-tiny'"):
        fetch_weights("velo", url=url)


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="cannot write .*set VELODROME_CACHE"):
        fetch_weights("velo", url="http://127.0.0.1:9/params")


def test_only_known_names_can_be_fetched():
    with pytest.raises(UnknownNameError, match="Did you mean 'velo'"):
        fetch_weights("velo-4000")


def test_crc32c_has_the_published_check_value():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4, and every CRC catalogue
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_checksum_headers_are_parsed_in_one_line_or_two():
    assert parse_goog_hash(["crc32c=AA==,md5=BB=="]) == {"crc32c": "AA==", "md5": "BB=="}
    assert parse_goog_hash(["crc32c=AA==", "md5=BB=="]) == {"crc32c": "AA==", "md5": "BB=="}
    assert parse_goog_hash(None) == {}
