"""The file of the NAdamW list: fetched, taken from a path, checked, and what needs none."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from velodrome.cli import main
from velodrome.foundation.download import DownloadError
from velodrome.foundation.errors import DataError, SpecError
from velodrome.optimizers.nadamw_list import trials
from velodrome.optimizers.nadamw_list.trials import (
    FIRST_TEN,
    fetch_list,
    list_path,
    load_trials,
    read_trials,
)
from velodrome.optimizers.registry import optimizers

#: A list like the published one, whose hash is put in its place.
ROWS = [dataclasses.asdict(trial) for trial in (*FIRST_TEN, *FIRST_TEN[:2])]
BODY = json.dumps(ROWS).encode()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trials, "SHA256", hashlib.sha256(BODY).hexdigest())
    monkeypatch.setattr(trials, "BYTES", len(BODY))
    path = tmp_path / "opt_list.json"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def server(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(kept.parent), **options)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/opt_list.json"
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_the_beginning_of_the_list_is_its_sweep_and_needs_no_file(kept: Path):
    spec = optimizers.get("nadamw_list:10")
    assert spec.points == [{"trial": number} for number in range(10)]
    assert spec.label == "NAdamW list (10)" and spec.needs == {"num_steps"}
    assert optimizers.get("nadamw_list:3").points == spec.points[:3]
    assert spec.identity == optimizers.get("nadamw_list:3").identity
    assert not list_path().exists()


def test_more_than_ten_come_from_the_file(kept: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(DataError, match="velodrome reference fetch --kind nadamw-list"):
        optimizers.get("nadamw_list:12")
    assert main(["reference", "fetch", "--kind", "nadamw-list", "--from", str(kept)]) == 0
    assert "12 trials" in capsys.readouterr().out
    assert load_trials(12) == (*FIRST_TEN, *FIRST_TEN[:2])
    assert len(optimizers.get("nadamw_list:12").points) == 12
    assert main(["reference", "list"]) == 0
    assert "nadamw-list" in capsys.readouterr().out


def test_it_is_fetched(server: str):
    assert fetch_list(url=server).read_bytes() == BODY
    assert load_trials(12)[10] == FIRST_TEN[0]


def test_another_file_is_refused(kept: Path, server: str):
    kept.write_bytes(BODY[:-1] + b" ]")
    with pytest.raises(DataError, match="is not the published NAdamW list: expected SHA-256"):
        fetch_list(kept)
    with pytest.raises(DownloadError, match="did not send the expected file.* with --from FILE"):
        fetch_list(url=server)
    assert not list_path().exists()
    with pytest.raises(DataError, match="cannot be read"):
        fetch_list(kept.with_name("absent.json"))


def test_a_file_that_changed_is_refused(kept: Path):
    fetch_list(kept)
    list_path().write_bytes(BODY + b" ")
    with pytest.raises(DataError, match="is not the published"):
        load_trials(12)


@pytest.mark.parametrize(
    "rows", [{"a": 1}, [1], [{**ROWS[0], "more": 1}], [{**ROWS[0], "beta1": "x"}]]
)
def test_what_is_no_list(rows: object):
    with pytest.raises(DataError, match="no list of NAdamW's hyperparameters"):
        read_trials(json.dumps(rows).encode())


@pytest.mark.parametrize("name", ["nadamw_list:", "nadamw_list:0", "nadamw_list:1001"])
def test_names_that_stand_for_no_list(name: str):
    with pytest.raises(SpecError, match="nadamw_list:K with K from 1 to 1000"):
        optimizers.get(name)
