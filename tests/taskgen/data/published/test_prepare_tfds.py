"""Folders of tensorflow-datasets, as TFRecord and as ArrayRecord, without TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinydata import (
    as_file,
    as_tfrecords,
    build_tfds,
    encoded,
    loaded,
    random_images,
    replace_facts,
    shrink,
    write_tfrecord,
)

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published import prepare as prepared
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.readers.tfrecord import (
    Piece,
    masked_checksum,
    read_records,
)

RECORDS = [b"", b"one", bytes(1000), b"four"]


def unmasked(checksum: int) -> int:
    turned = (checksum - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF


def test_checksums_are_those_of_the_standard():
    # RFC 3720, B.4, and the check value of the catalogue of polynomials.
    assert unmasked(masked_checksum(bytes(32))) == 0x8A9136AA
    assert unmasked(masked_checksum(b"\xff" * 32)) == 0x62A8AB43
    assert unmasked(masked_checksum(b"123456789")) == 0xE3069283


def test_records_are_read_by_number_across_files(tmp_path: Path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        write_tfrecord(path, RECORDS)
    pieces = [Piece(paths[0], 1, 3), Piece(paths[1], 0, 2)]
    assert read_records(pieces, 0, 5) == [*RECORDS[1:], *RECORDS[:2]]
    assert read_records(pieces, 2, 4) == [RECORDS[3], RECORDS[0]]
    with pytest.raises(DataError, match=r"it has 4 records"):
        read_records([Piece(paths[0], 0, 5)], 0, 5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "cut off"),
        (lambda content: content[:20], "cut off"),
        (lambda content: content[:16] + b"x" + content[17:], "no record begins at byte 16"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes], message: str):
    path = tmp_path / "file"
    write_tfrecord(path, RECORDS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        read_records([Piece(path, 0, 1)], 0, 1)


def features(**fields: Any) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(fields)


def same(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray]) -> None:
    assert set(one) == set(two)
    for name, array in one.items():
        assert array.dtype == two[name].dtype
        np.testing.assert_array_equal(array, two[name])


@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_imagenet_is_that_of_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[], None]
):
    import tensorflow_datasets as tfds

    classes, counts = ["n01440764", "n01443537"], {"train": 10, "validation": 4}
    shrink(monkeypatch, "imagenet256", counts=counts)
    sizes = {"train": 10, "heldout": 4}
    replace_facts(monkeypatch, "imagenet256", shape=(16, 16, 3), num_classes=2, split_sizes=sizes)
    splits: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for split, folder in (("train", "train"), ("validation", "val")):
        splits[split] = []
        for number in range(counts[split]):
            name = classes[number % 2]
            content = encoded(random_images(1, 20 + number, 3, seed=number)[0][:18], "JPEG")
            path = tmp_path / "folders" / folder / name / f"{name}_{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            example = {"image": as_file(content), "label": name, "file_name": path.name}
            splits[split].append((path.name, example))
    described = features(
        image=tfds.features.Image(encoding_format="jpeg"),
        label=tfds.features.ClassLabel(names=classes),
        file_name=tfds.features.Text(),
    )
    folder = build_tfds("imagenet2012", tmp_path / "tfds", described, splits, version="5.1.0")
    as_tfrecords(folder)
    found = []
    for source in (tmp_path / "folders", tmp_path / "tfds"):
        elsewhere()
        prepare("imagenet256", source=source)
        found.append(loaded("imagenet256"))
    for split in sizes:
        same(found[0][split], found[1][split])
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("stored", ["tfrecord", "array_record"])
@pytest.mark.usefixtures("own_cache")
def test_translations(stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import tensorflow_datasets as tfds

    counts, sizes = {"train": 6, "validation": 3}, {"train": 6, "heldout": 3}
    shrink(monkeypatch, "wmt17_de_en", counts=counts)
    replace_facts(monkeypatch, "wmt17_de_en", vocab_size=300, split_sizes=sizes)

    # Tokens are bytes here: vocabularies have tests of their own.
    def ends(text: bytes) -> np.ndarray:
        return np.array([*text, 2], np.uint16)

    monkeypatch.setattr(prepared, "_encoder", lambda info, vocabulary: (ends, {}))
    for name, split in (("wmt17_translate", "train"), ("wmt14_translate", "validation")):
        pairs = [(at, {"de": f"{name} {at}", "en": "ü" * at}) for at in range(counts[split])]
        described = features(de=tfds.features.Text(), en=tfds.features.Text())
        folder = build_tfds(name, tmp_path, described, {split: pairs}, config="de-en")
        if stored == "tfrecord":
            as_tfrecords(folder)
        if name == "wmt17_translate":
            with pytest.raises(DataError, match="has no folder wmt14_translate/de-en"):
                prepare("wmt17_de_en", source=tmp_path)
    record = prepare("wmt17_de_en", source=tmp_path)
    assert record.notes["tfds"].startswith("wmt17_translate/de-en")
    assert record.notes["tfds of heldout"].startswith("wmt14_translate/de-en")
    for split, name in (("train", "wmt17_translate"), ("heldout", "wmt14_translate")):
        arrays, read = loaded("wmt17_de_en")[split], []
        for at in range(sizes[split]):
            source, target = (
                arrays[side][arrays[f"{side}_offsets"][at] : arrays[f"{side}_offsets"][at + 1]]
                for side in ("source", "target")
            )
            assert source[-1] == target[-1] == 2
            read.append((bytes(source[:-1].tolist()), bytes(target[:-1].tolist())))
        wanted = [(f"{name} {at}".encode(), ("ü" * at).encode()) for at in range(sizes[split])]
        assert sorted(read) == wanted  # in the order of a hash


@pytest.mark.parametrize("stored", ["tfrecord", "array_record"])
@pytest.mark.usefixtures("own_cache")
def test_molecules(stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import tensorflow_datasets as tfds

    counts, sizes = {"train": 3, "validation": 1}, {"train": 3, "heldout": 1}
    shrink(monkeypatch, "ogbg_molpcba", counts=counts)
    replace_facts(monkeypatch, "ogbg_molpcba", split_sizes=sizes)

    def tensor(dtype: type, *shape: int | None) -> Any:
        return tfds.features.Tensor(shape=shape, dtype=dtype)

    described = features(
        num_nodes=tensor(np.int64, None), node_feat=tensor(np.float32, None, 9),
        num_edges=tensor(np.int64, None), edge_feat=tensor(np.float32, None, 3),
        edge_index=tensor(np.int64, None, 2), labels=tensor(np.float32, 128),
    )  # fmt: skip

    def molecule(number: int) -> dict[str, Any]:
        """A chain of ``number + 1`` atoms."""
        label = np.full(128, np.nan, np.float32)
        label[number] = number % 2
        bonds = np.arange(number)
        return {
            "num_nodes": np.array([number + 1]),
            "node_feat": np.full((number + 1, 9), number, np.float32),
            "num_edges": np.array([number]),
            "edge_feat": np.full((number, 3), number, np.float32),
            "edge_index": np.stack([bonds, bonds + 1], axis=1),
            "labels": label,
        }

    splits = {split: [(at, molecule(at)) for at in range(n)] for split, n in counts.items()}
    folder = build_tfds("ogbg_molpcba", tmp_path, described, splits, version="0.1.3")
    if stored == "tfrecord":
        as_tfrecords(folder)
    prepare("ogbg_molpcba", source=tmp_path)
    arrays = loaded("ogbg_molpcba")["train"]
    sizes_ = np.diff(arrays["node_offsets"])
    assert sorted(sizes_) == [1, 2, 3]
    for at, size in enumerate(sizes_):
        atoms = slice(*arrays["node_offsets"][at : at + 2])
        bonds = slice(*arrays["edge_offsets"][at : at + 2])
        number, forth = int(size) - 1, list(range(size - 1))
        assert (arrays["node"][atoms] == number).all() and (arrays["edge"][bonds] == number).all()
        assert arrays["sender"][bonds].tolist() == forth + [place + 1 for place in forth]
        assert arrays["receiver"][bonds].tolist() == [place + 1 for place in forth] + forth
        assert np.flatnonzero(arrays["weight"][at]).tolist() == [number]
        assert arrays["label"][at].sum() == number % 2
