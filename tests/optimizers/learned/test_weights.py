"""Weights of published learned optimizers: fetched, read, refused, and missing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from learned_weights import SIZES, made, packed
from misbehaving_server import Server, serving

from velodrome import cli
from velodrome.foundation import download
from velodrome.foundation.errors import (
    MissingWeightsError,
    SpecError,
    UnknownNameError,
    VelodromeError,
    WeightsError,
)
from velodrome.optimizers.learned.weights import fetch, published, store
from velodrome.optimizers.learned.weights.fetch import fetch_weights
from velodrome.optimizers.learned.weights.published import PUBLISHED, Published
from velodrome.optimizers.learned.weights.store import read_published
from velodrome.optimizers.registry import optimizers

NAMES = sorted(PUBLISHED)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    with serving(Server(packed(made("celo")), name="theta.state")) as server:
        yield server


def publish(monkeypatch: pytest.MonkeyPatch, one: Published) -> None:
    """Let other weights be published for a while."""
    for module in (published, store, fetch):
        monkeypatch.setattr(module, "PUBLISHED", {**PUBLISHED, one.name: one})


@pytest.fixture
def hashed(server: Server, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Weights whose hash is published, at a server."""
    body = server.body
    sha256 = hashlib.sha256(body).hexdigest()
    one = dataclasses.replace(
        PUBLISHED["celo"], url=server.url, size=len(body), sha256=sha256, sizes=SIZES["celo"]
    )
    publish(monkeypatch, one)
    return one


@pytest.fixture
def unhashed(hashed: Published, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Weights whose hash nobody has published, at a server."""
    one = dataclasses.replace(hashed, size=None, sha256=None)
    publish(monkeypatch, one)
    return one


def in_cache(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("hashed")
def test_a_published_hash_is_checked(server: Server, cache: Path):
    server.drop_after = [2500]
    path = fetch_weights("celo", pause_seconds=0.0)
    assert path.read_bytes() == server.body
    assert server.ranges == [None, "bytes=2500-"]  # it was resumed
    assert in_cache(cache) == ["theta.state"]
    loaded = read_published("celo")
    assert loaded.label == "Celo (official)"
    assert (loaded.cost, loaded.licence) == (PUBLISHED["celo"].cost, PUBLISHED["celo"].licence)
    assert optimizers.get("celo").identity == {"weights": loaded.content_hash}
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsError, match="not the published file.*expected SHA-256 .*, found "):
        read_published("celo")


@pytest.mark.usefixtures("hashed")
def test_another_file_than_the_published_one_is_not_kept(server: Server, cache: Path):
    server.body = server.body[:-1] + b"\0"
    with pytest.raises(WeightsError, match="expected SHA-256 .* Nothing was kept"):
        fetch_weights("celo", pause_seconds=0.0)
    assert in_cache(cache) == []


@pytest.mark.usefixtures("unhashed")
def test_without_a_published_hash_the_first_copy_counts(server: Server, cache: Path):
    path = fetch_weights("celo", pause_seconds=0.0)
    assert in_cache(cache) == ["record.json", "theta.state"]
    assert read_published("celo").label == "Celo (official)"
    fetch_weights("celo")  # it is there: nothing is asked for
    assert server.ranges == [None]
    path.unlink()
    arrays = made("celo")
    names = ("rnn_params", "step_size", "b")
    server.body = packed(arrays | {names: arrays[names] + 1})
    with pytest.raises(WeightsError, match=r"recorded on first use.*delete .*record.json"):
        fetch_weights("celo", pause_seconds=0.0)
    assert in_cache(cache) == ["record.json"]
    path.write_bytes(server.body)
    with pytest.raises(WeightsError, match="recorded on first use"):
        read_published("celo")


def test_a_file_put_in_its_place_is_used_but_not_called_official(unhashed: Published):
    unhashed.path.parent.mkdir(parents=True)
    unhashed.path.write_bytes(packed(made("celo")))
    assert read_published("celo").label == "Celo (theta.state)"
    assert (unhashed.first_use.read() or {})["origin"] == "placed"


def test_weights_of_other_sizes_are_not_the_published_ones(
    server: Server, unhashed: Published, monkeypatch: pytest.MonkeyPatch, cache: Path
):
    publish(monkeypatch, dataclasses.replace(unhashed, sizes=PUBLISHED["celo"].sizes))
    with pytest.raises(WeightsError, match=r"expected \{'LSTM': 64.*found \{'LSTM': 8"):
        fetch_weights("celo", pause_seconds=0.0)
    assert in_cache(cache) == []


def test_no_network_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch):
    url = "http://127.0.0.1:9/theta.state"
    publish(monkeypatch, dataclasses.replace(PUBLISHED["celo"], url=url))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    where = cache / "weights" / "celo" / "theta.state"
    with pytest.raises(WeightsError, match=f"could not fetch {url}.*put the file at {where}"):
        fetch_weights("celo", pause_seconds=0.0)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", NAMES)
def test_a_name_without_its_weights_says_what_to_do(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(MissingWeightsError, match=f"Run `velodrome weights fetch {name}`"):
        optimizers.get(name)
    assert cli.main(["check", "optimizer", name]) == 2
    assert f"velodrome weights fetch {name}" in capsys.readouterr().err


@pytest.mark.usefixtures("cache")
def test_lists_show_what_is_not_here(capsys: pytest.CaptureFixture[str]):
    for command in (["list", "optimizers"], ["weights", "list"]):
        assert cli.main(command) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        for name in NAMES:
            assert f"not here yet: velodrome weights fetch {name}" in shown.out


@pytest.mark.parametrize("name", NAMES)
def test_weights_from_a_path(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path
):
    path = tmp_path / "some.state"
    path.write_bytes(packed(made(name)))
    spec = optimizers.get(f"{name}:{path}")
    assert spec.name == f"{name}:some.state"
    assert spec.label == f"{PUBLISHED[name].label} (some.state)"
    assert spec.meta_training is None
    assert cli.main(["weights", "verify", f"{name}:{path}"]) == 0
    shown = capsys.readouterr().out
    assert spec.label in shown and "all checks passed" in shown
    assert "licence" not in shown
    with pytest.raises(WeightsError, match="cannot read the weights"):
        optimizers.get(f"{name}:{tmp_path}/nothing.state")
    with pytest.raises(SpecError, match=f"or {name} alone for the published ones"):
        optimizers.get(f"{name}:")


def test_a_file_is_recognised_by_its_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "some.state"
    path.write_bytes(packed(made("celo")))
    assert cli.main(["weights", "verify", str(path)]) == 0
    assert "Celo (some.state)" in capsys.readouterr().out


def test_wrong_files_say_what_was_expected_and_found(tmp_path: Path):
    path = tmp_path / "some.state"
    for data, message in (
        (b"\x80\x04\x95", "is a pickle, which is never opened.*expected flax msgpack"),
        (b"", "expected flax msgpack .the published file has 149,216 bytes., found 0 bytes"),
        (
            packed({("w",): np.zeros(2, np.float32)}),
            r"no Celo weights: expected the groups ff_mod_stack.*found \['w'\]",
        ),
        (
            packed(made("celo") | {("rnn_params", "more"): np.zeros(2, np.float32)}),
            "LSTM 8 and bank 1: rnn_params > more: expected nothing, found something",
        ),
        (
            packed(made("celo") | {("lstm_init_state", "cell"): np.full((1, 8), np.nan, "f4")}),
            "cell: expected finite numbers, found 8",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            read_published("celo", path)


def test_only_known_names_are_published():
    with pytest.raises(UnknownNameError, match="Did you mean 'celo"):
        fetch_weights("cello")
    with pytest.raises(VelodromeError, match="no published learned optimizer named 'cello'"):
        read_published("cello")
