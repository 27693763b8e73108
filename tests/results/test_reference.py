"""Published envelopes: the files, which kind they are, fetching, and ours beside them."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from synthetic import Candidate, make

from foundation.errors import DataError, SpecError, VelodromeError
from results.comparison import compare
from results.reference import (
    ADAM,
    ANCHORS,
    FOUR,
    Envelope,
    Reference,
    fetch_reference,
    kind_of,
    load_reference,
    read_envelopes,
    reference_path,
)
from results.report import write_report
from velodrome.cli import main

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
    (tmp_path / "text").write_text("<html>")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}" * 500)[:20])
    for name in ("text", "cut.gz", "absent"):
        with pytest.raises(DataError, match="cannot be read as JSON"):
            read_envelopes(tmp_path / name)


def test_the_kinds_are_told_apart_by_their_numbers(cache: Path):
    for kind in (ADAM, FOUR):
        path = write(cache / f"{kind}.json", published(kind))
        assert kind_of(read_envelopes(path)) == kind
        assert fetch_reference(kind, source=path).kind == kind
        other = ADAM if kind == FOUR else FOUR
        with pytest.raises(SpecError, match=f"{kind!r}: by its numbers"):
            fetch_reference(other, source=path)
    # Of tasks that nothing is known about, the user's word is taken.
    unknown = write(cache / "mine.json", {"mine": [[0.0, 10.0], [1.0, 0.5]]})
    assert kind_of(read_envelopes(unknown)) is None
    assert set(fetch_reference(ADAM, source=unknown).envelopes) == {"mine"}
    with pytest.raises(SpecError, match="reference kind"):
        fetch_reference("sgd", source=unknown)


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


def test_what_a_proxy_sends_is_not_kept(server: str):
    Handler.body = b"<html>no</html>" * 10
    with pytest.raises(DataError, match="cannot be read as JSON"):
        fetch_reference(url=server, pause_seconds=0.01)
    assert load_reference() is None and not list(reference_path(ADAM).parent.iterdir())


def reference(losses: dict[str, tuple[list, list]]) -> Reference:
    made = {name: Envelope(np.array(s, float), np.array(v)) for name, (s, v) in losses.items()}
    return Reference(ADAM, "a test", "0" * 64, made)


@pytest.mark.slow
def test_our_baseline_beside_the_published_one(tmp_path: Path):
    """The published envelope is made of ours, three times as slow, and cut off for one task."""
    made = make(tmp_path / "s", [Candidate("velo", [2.0, 3.0, 1.0])], noise=0.0, multiple=5)
    plain = write_report(made.store.directory, tmp_path / "plain")
    assert plain.data.published.empty and not (plain.directory / "published.csv").exists()
    ours = {}
    for task in compare(made.store):
        race = task.races["paper"]
        envelope = race.envelope(21)  # evaluations of a candidate
        ours[str(task.task["label"])] = (race.baseline.steps * 3.0, envelope)
    first, second, _ = ours
    published = {first: ours[first], second: tuple(part[:40] for part in ours[second])}
    files = write_report(
        made.store.directory,
        tmp_path / "report",
        reference=reference({k: (list(s), list(v)) for k, (s, v) in published.items()}),
    )
    table = files.data.published
    assert list(table["task"]) == [first, first, second, second]
    assert list(table["steps"]) == [200, 1000] * 2
    np.testing.assert_allclose(np.asarray(table["ratio"])[:3], 3.0, rtol=1e-6)
    assert list(table["censored"]) == ["no", "no", "no", "right"]
    assert float(np.asarray(table["ratio"])[3]) == published[second][0][-1] / 1000
    drawn = files.data.curves
    drawn = drawn[drawn["series"] == "published"]
    assert set(drawn["task"]) == {first, second} and float(np.max(drawn["step"])) <= 1000
    text = files.markdown.read_text()
    assert "Beside the published baseline" in text and "built-in real data" in text
    assert (files.directory / "published.csv").is_file()


def test_the_command(cache: Path, capsys: pytest.CaptureFixture[str]):
    path = write(cache / "four.json", published(FOUR))
    assert main(["reference", "fetch", "--from", str(path)]) == 2
    assert "by its numbers" in capsys.readouterr().err
    assert main(["reference", "fetch", "--kind", "four-optimizers", "--from", str(path)]) == 0
    assert "1 tasks, the best of four optimizers" in capsys.readouterr().out
    assert main(["reference", "list"]) == 0
    listed = capsys.readouterr().out
    assert "not here yet" in listed and "100,000" in listed
    with pytest.raises(VelodromeError):
        fetch_reference(source=cache / "absent.json")
