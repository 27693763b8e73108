"""Published envelopes: the files, which kind they are, and fetching them."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from velodrome.cli import main
from velodrome.foundation.download import DownloadError
from velodrome.foundation.errors import DataError, SpecError, VelodromeError
from velodrome.results.analyses.reference import (
    ADAM,
    ANCHORS,
    FOUR,
    Envelope,
    fetch_reference,
    kind_of,
    load_reference,
    read_envelopes,
    reference_path,
)

STEPS = [0.0, 195.69471624266146, 391.3894324853229, 100_000.0]
TASK = "Conv_Cifar10_32x64x64"


def published(kind: str, **more: list) -> dict:
    """What a published file holds of one task."""
    return {TASK: [STEPS, [2.3, 2.1, 1.9, ANCHORS[TASK][kind]]], **more}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_both_forms_of_a_file(tmp_path: Path):
    plain = write(tmp_path / "adam.json", published(ADAM))
    packed = tmp_path / "adam.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        (envelope,) = read_envelopes(path).values()
        np.testing.assert_array_equal(envelope.steps, STEPS)
        assert envelope.losses[-1] == ANCHORS[TASK][ADAM]
    assert Envelope(np.array(STEPS), np.array([3.0, 2.0, 1.0, 0.5])).steps_to(
        np.array([3.0, 1.5, 0.1])
    ) == pytest.approx([0.0, (STEPS[1] + STEPS[2]) / 2, np.inf])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "no envelopes"),
        ({"a": [1, 2, 3]}, "a is not"),
        ({"a": [[0.0, 1.0], [2.0]]}, "a has"),
        ({"a": [[1.0, 2.0], [2.0, 1.0]]}, "do not ascend from 0"),
        ({"a": [[0.0, 1.0], [1.0, 2.0]]}, "losses that rise"),
        ({"a": [[0.0, 1.0], [1.0, None]]}, "a"),
    ],
)
def test_what_is_no_file_of_envelopes(tmp_path: Path, content: object, words: str):
    with pytest.raises(DataError, match=words):
        read_envelopes(write(tmp_path / "bad.json", content))


def test_unreadable_files(tmp_path: Path):
    packed = gzip.compress(json.dumps(published(ADAM)).encode())
    (tmp_path / "text").write_text("<html>")
    (tmp_path / "cut.gz").write_bytes(packed[:20])
    (tmp_path / "checksum.gz").write_bytes(packed[:-5] + b"\xff" + packed[-4:])
    (tmp_path / "flipped.gz").write_bytes(packed[:10] + b"\xff" + packed[11:])
    with pytest.raises(zlib.error):
        gzip.decompress((tmp_path / "flipped.gz").read_bytes())
    for name in ("text", "cut.gz", "checksum.gz", "flipped.gz", "absent"):
        with pytest.raises(DataError, match=r"cannot be read as JSON .* with --from FILE"):
            read_envelopes(tmp_path / name)


def test_the_kinds_are_recognised_by_their_numbers(cache: Path):
    for kind in (ADAM, FOUR):
        path = write(cache / f"{kind}.json", published(kind))
        assert kind_of(read_envelopes(path)) == kind
        assert fetch_reference(kind, source=path).kind == kind
        other = ADAM if kind == FOUR else FOUR
        with pytest.raises(SpecError, match=f"{kind!r}: by its numbers"):
            fetch_reference(other, source=path)
    with pytest.raises(SpecError, match="reference kind"):
        fetch_reference("sgd", source=path)


@pytest.mark.parametrize(
    "content",
    [
        {"mine": [[0.0, 10.0], [1.0, 0.5]]},  # nothing is known about this task
        {TASK: [[0.0, 50_000.0], [2.3, ANCHORS[TASK][ADAM]]]},  # ends before the known loss
        {TASK: [STEPS, [2.3, 2.1, 1.9, 0.5]]},  # another loss than the known ones
    ],
)
def test_what_does_not_tell_its_kind_is_taken_only_on_request(cache: Path, content: dict):
    unknown = write(cache / "mine.json", content)
    assert kind_of(read_envelopes(unknown)) is None
    with pytest.raises(DataError, match="nothing shows whether .* give --unverified"):
        fetch_reference(ADAM, source=unknown)
    assert load_reference() is None
    origin = f"{unknown}, whose numbers do not tell its kind"
    assert fetch_reference(ADAM, source=unknown, unverified=True).origin == origin
    found = load_reference()
    assert found is not None and set(found.envelopes) == set(content)
    assert found.origin == origin  # which the report prints
    record = json.loads(reference_path(ADAM).with_name("adam.record.json").read_text())
    assert record["verified"] is False


def test_a_part_does_not_replace_what_is_fuller(cache: Path):
    whole = published(ADAM, other=[[0.0, 100.0], [2.0, 1.0]])
    fetch_reference(source=write(cache / "whole.json", whole))
    assert len(fetch_reference(source=cache / "whole.json").envelopes) == 2  # the same again
    for part in (published(ADAM), {**whole, "other": [[0.0, 50.0], [2.0, 1.0]]}):
        path = write(cache / "part.json", part)
        words = r"part.json lacks, or ends earlier on, 1 of the 2 tasks .* such as other\..* delete"
        with pytest.raises(DataError, match=words):
            fetch_reference(source=path)
        found = load_reference()
        assert found is not None and found.envelopes["other"].steps[-1] == 100
    fetch_reference(source=write(cache / "more.json", {**whole, "third": whole["other"]}))
    found = load_reference()
    assert found is not None and len(found.envelopes) == 3
    reference_path(ADAM).write_text("damaged")
    fetch_reference(source=write(cache / "part.json", published(ADAM)))
    reference_path(ADAM).unlink()
    fetch_reference(source=write(cache / "part.json", published(ADAM)))


def test_what_is_kept_is_found_again(cache: Path):
    assert load_reference() is None
    path = write(cache / "adam.json", published(ADAM))
    fetched = fetch_reference(source=path)
    found = load_reference()
    assert found is not None and (found.kind, found.origin) == (ADAM, str(path))
    assert found.sha256 == fetched.sha256 and set(found.envelopes) == {TASK}
    kept = reference_path(ADAM)
    kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(DataError, match="has changed since"):
        load_reference()
    kept.with_name("adam.record.json").unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        load_reference()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends a file; the first time, only its beginning."""

    body = b""
    requests: list[str | None] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        rest = self.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", '"1"')
        if asked:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
            )
        self.end_headers()
        self.wfile.write(rest if asked else rest[:20])

    def log_message(self, format: str, *args: object) -> None:
        del format, args  # the server keeps quiet


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    del cache  # it sets where things are kept
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.body, Handler.requests = json.dumps(published(ADAM)).encode(), []
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/speedup_over_adam.json"
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_dropped_download_is_taken_up_again(server: str):
    found = fetch_reference(url=server, pause_seconds=0.01)
    assert Handler.requests == [None, "bytes=20-"]
    assert found.origin == server and set(found.envelopes) == {TASK}
    assert sorted(path.name for path in reference_path(ADAM).parent.iterdir()) == [
        "adam.json",
        "adam.record.json",
    ]


def test_without_a_network_a_file_may_be_given(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(
        DownloadError, match="could not fetch http.* give the file with --from FILE"
    ):
        fetch_reference(url="http://127.0.0.1:9/speedup_over_adam.json", attempts=1)


def test_what_a_proxy_sends_is_not_kept(server: str):
    Handler.body = b"<html>no</html>" * 10
    with pytest.raises(DataError, match="cannot be read as JSON"):
        fetch_reference(url=server, pause_seconds=0.01)
    assert load_reference() is None and not list(reference_path(ADAM).parent.iterdir())


def test_the_command(cache: Path, capsys: pytest.CaptureFixture[str]):
    path = write(cache / "four.json", published(FOUR))
    assert main(["reference", "fetch", "--from", str(path)]) == 2
    assert "by its numbers" in capsys.readouterr().err
    assert main(["reference", "fetch", "--kind", "four-optimizers", "--from", str(path)]) == 0
    assert "1 tasks, the best of four optimizers" in capsys.readouterr().out
    assert main(["reference", "list"]) == 0
    listed = capsys.readouterr().out
    assert "not here yet" in listed and "100,000" in listed
    mine = write(cache / "mine.json", {"mine": [[0.0, 10.0], [1.0, 0.5]]})
    assert main(["reference", "fetch", "--from", str(mine)]) == 2
    assert "--unverified" in capsys.readouterr().err
    assert main(["reference", "fetch", "--from", str(mine), "--unverified"]) == 0
    assert "mine.json, whose numbers do not tell its kind" in capsys.readouterr().out
    assert main(["reference", "list"]) == 0
    assert "mine.json, whose numbers do not tell its kind" in capsys.readouterr().out
    assert main(["reference", "list", "--unverified"]) == 2
    with pytest.raises(VelodromeError):
        fetch_reference(source=cache / "absent.json")
