from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import msgpack
import numpy as np
import pytest
from official_tree import official_tree

from velodrome.foundation.errors import UnknownNameError, VelodromeError, WeightsError
from velodrome.optimizers.velo.weights import official, store
from velodrome.optimizers.velo.weights.tree import VeLOWeights, init_weights


def packb(value: object, **options: Any) -> bytes:
    packed = msgpack.packb(value, **options)
    assert packed is not None
    return packed


def pack_official(tree: dict) -> bytes:
    """Write a tree as flax.serialization does: arrays as msgpack extension 1."""

    def default(array: np.ndarray) -> msgpack.ExtType:
        array = np.asarray(array)
        return msgpack.ExtType(
            1, packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
        )

    return packb(tree, default=default, strict_types=True)


def as_checkpoint(weights: VeLOWeights) -> dict:
    tree = jax.tree.map(np.asarray, official_tree(weights))
    return {"params": tree, "gen_id": "0" * 32, "step": 1234}


@pytest.fixture(scope="module")
def weights() -> VeLOWeights:
    return init_weights(jax.random.key(0), 6, 3)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def official_file(own_cache: Path, weights: VeLOWeights, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in in the official file's place, with the expected size adjusted to it."""
    data = pack_official(as_checkpoint(weights))
    path = official.official_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    monkeypatch.setattr(official, "OFFICIAL_BYTES", len(data))
    return path


def assert_same(one: VeLOWeights, other: VeLOWeights) -> None:
    for name, array in one._asdict().items():
        np.testing.assert_array_equal(array, getattr(other, name), err_msg=name)


def test_own_format_round_trips_with_its_card(tmp_path: Path, weights: VeLOWeights):
    path = store.save_weights(tmp_path / "mine", weights, {"training": {"hours": 2}})
    assert path == tmp_path / "mine.safetensors"
    assert_same(store.load_weights(path), weights)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["training"] == {"hours": 2}
    assert card["architecture"]["hidden_size"] == 6
    assert card["architecture"]["bank_size"] == 3
    report = store.read_weights(path)
    assert (report.sha256, report.content_hash) == (card["sha256"], card["content_hash"])
    assert report.parameters == card["architecture"]["parameters"]
    assert report.card["training"] == {"hours": 2}


def test_official_format_reads_the_same_numbers(tmp_path: Path, weights: VeLOWeights):
    path = tmp_path / "params"
    path.write_bytes(pack_official(as_checkpoint(weights)))
    assert_same(store.load_weights(path), weights)
    bare = tmp_path / "theta.state"
    bare.write_bytes(pack_official(as_checkpoint(weights)["params"]))
    assert_same(store.load_weights(str(bare)), weights)


def test_one_set_of_weights_has_one_hash(tmp_path: Path, weights: VeLOWeights):
    path = tmp_path / "params"
    path.write_bytes(pack_official(as_checkpoint(weights)))
    saved = store.save_weights(tmp_path / "mine", weights)
    assert store.weights_hash(weights) == store.weights_hash(path) == store.weights_hash(saved)
    moved = weights._replace(pool_b=weights.pool_b + 1e-3)
    assert store.weights_hash(moved) != store.weights_hash(weights)


def label(weights: str | Path) -> str:
    return store.read_weights(weights).label


def test_labels_say_which_weights(tmp_path: Path, weights: VeLOWeights, official_file: Path):
    path = store.save_weights(tmp_path / "mine", weights)
    assert label(path) == "VeLO (mine.safetensors)"
    trained = store.save_weights(tmp_path / "toy" / "weights", weights)
    assert label(trained) == "VeLO (toy/weights.safetensors)"
    # Right size and architecture are not enough: someone put the file there.
    assert label("velo") == "VeLO (params)"
    official.write_record(
        hashlib.sha256(official_file.read_bytes()).hexdigest(), origin="fetched", checked="md5=..."
    )
    assert label("velo") == "VeLO (official)"
    assert store.read_weights("velo").cost == official.OFFICIAL_COST
    assert store.read_weights(path).cost is None
    copy = tmp_path / "copy"
    copy.write_bytes(official_file.read_bytes())
    assert label(copy) == "VeLO (official)"
    data = bytearray(official_file.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    assert label(copy) == "VeLO (copy)"
    assert store.read_weights(copy).cost is None


def test_a_built_in_name_is_its_label(
    tmp_path: Path, weights: VeLOWeights, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "_BUILT_IN", tmp_path)
    store.save_weights(tmp_path / "velo-test", weights)
    assert store.weights_names() == ["velo", "velo-test"]
    assert label("velo-test") == "VeLO (velo-test)"
    assert_same(store.load_weights("velo-test"), weights)


def test_unknown_name_lists_close_ones():
    with pytest.raises(
        UnknownNameError, match=r"no .*weights.* named 'vello'\. Did you mean 'velo'"
    ):
        store.load_weights("vello")


def test_official_name_without_the_file_says_how_to_get_it(own_cache: Path):
    with pytest.raises(WeightsError, match="velodrome weights fetch velo"):
        store.load_weights("velo")


def test_official_name_checks_the_size(official_file: Path):
    official_file.write_bytes(official_file.read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"expected [\d,]+ bytes, found [\d,]+"):
        store.load_weights("velo")


def test_official_hash_is_recorded_on_first_use_and_a_change_refused(official_file: Path):
    store.load_weights("velo")
    record = official.read_record()
    assert record is not None
    assert record["sha256"] == hashlib.sha256(official_file.read_bytes()).hexdigest()
    data = official_file.read_bytes()
    at = data.index(b"step")
    official_file.write_bytes(data[:at] + b"stop" + data[at + 4 :])
    with pytest.raises(WeightsError, match=rf"expected SHA-256 {record['sha256']}, found \w{{64}}"):
        store.load_weights("velo")


def damaged(weights: VeLOWeights) -> dict[str, tuple[bytes, str]]:
    """Wrong files, each with the message it must get."""
    good = as_checkpoint(weights)

    def with_leaf(value: object) -> bytes:
        tree = as_checkpoint(weights)
        tree["params"]["rnn_params"]["step_size"]["w"] = value
        return pack_official(tree)

    def without(group: str, name: str) -> bytes:
        tree = as_checkpoint(weights)
        del tree["params"][group][name]
        return pack_official(tree)

    extra = as_checkpoint(weights)
    extra["params"]["rnn_params"]["more"] = np.zeros(3, np.float32)
    where = "rnn_params > step_size > w: "
    return {
        "empty": (b"", r"expected flax msgpack .* found 0 bytes"),
        "truncated": (pack_official(good)[:-100], r"damaged.*found [\d,]+ bytes that do not parse"),
        "a page": (b"<html>Sign in</html>", "expected"),
        "a pickle": (b"\x80\x04\x95\x00.", "is a pickle, which is never opened"),
        "a list": (packb([1, 2]), "expected the groups ff_mod_stack.*found a list"),
        "other groups": (pack_official({"params": {"w": np.zeros(2)}}), r"found \['w'\]"),
        "a shape": (
            with_leaf(np.zeros((6, 2), np.float32)),
            where + r"expected shape \(6, 1\), found \(6, 2\)",
        ),
        "a type": (with_leaf(np.zeros((6, 1))), where + "expected float32, found float64"),
        "a NaN": (
            with_leaf(np.full((6, 1), np.nan, np.float32)),
            where + "expected finite numbers, found 6",
        ),
        "no array": (with_leaf("text"), where + "expected an array, found a str"),
        "missing": (without("rnn_params", "linear_2"), "linear_2 > b: expected an array, found n"),
        "missing sizes": (without("lstm_init_state", "hidden"), "expected an array at lstm_init_s"),
        "extra": (pack_official(extra), "rnn_params > more: expected nothing, found something"),
        "extension": (packb(msgpack.ExtType(5, b"x")), "found extension 5"),
        "objects": (
            packb({"params": msgpack.ExtType(1, packb(((1,), "object", b"x")))}),
            "found an array of type 'object', which are not numbers",
        ),
        "array size": (
            packb({"params": msgpack.ExtType(1, packb(((2,), "float32", b"x")))}),
            r"found 1 bytes for an array of shape \(2,\)",
        ),
    }


@pytest.mark.parametrize("kind", damaged(init_weights(jax.random.key(0), 6, 3)))
def test_wrong_checkpoints_say_what_was_expected_and_found(
    tmp_path: Path, weights: VeLOWeights, kind: str
):
    data, message = damaged(weights)[kind]
    path = tmp_path / "params"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=message) as caught:
        store.load_weights(path)
    assert str(path) in str(caught.value)


def test_damaged_own_files_say_what_was_expected_and_found(tmp_path: Path, weights: VeLOWeights):
    path = store.save_weights(tmp_path / "mine", weights)
    data = path.read_bytes()
    path.write_bytes(data[:-4] + b"\x00\x00\x00\x01")
    with pytest.raises(WeightsError, match=r"card expects arrays with the hash \w+, found \w+"):
        store.load_weights(path)
    path.write_bytes(data[:-10])
    with pytest.raises(WeightsError, match="expected a whole safetensors file"):
        store.load_weights(path)
    path.write_bytes(data)
    other = store.save_weights(tmp_path / "other", weights, {"name": "other"})
    path.with_suffix(".json").write_bytes(other.with_suffix(".json").read_bytes())
    with pytest.raises(WeightsError, match=r"card mine.json was written for: expected SHA-256"):
        store.load_weights(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match="expected a JSON card"):
        store.load_weights(path)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"cannot read the weights .*nowhere/params"):
        store.load_weights(tmp_path / "nowhere" / "params")


def test_wrong_weights_are_not_saved_and_leave_nothing(tmp_path: Path, weights: VeLOWeights):
    with pytest.raises(WeightsError, match="step_size_b: expected finite numbers, found 1"):
        store.save_weights(
            tmp_path / "bad", weights._replace(step_size_b=weights.step_size_b * np.nan)
        )
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path: Path, weights: VeLOWeights):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VelodromeError, match="cannot write .*Nothing was left half-written"):
        store.save_weights(tmp_path / "file" / "mine", weights)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_built_in_weights_are_whole_and_have_a_card():
    names = [name for name in store.weights_names() if name != "velo"]
    assert "velo-tiny" in names
    for name in names:
        report = store.read_weights(name)
        assert report.label == f"VeLO ({name})"
        assert report.card["training"]
        assert report.path.with_suffix(".json").is_file()
