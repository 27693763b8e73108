"""MNIST from its original files, from TFDS, and what is refused."""

from __future__ import annotations

import functools
import gzip
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tinydata
from tinydata import COUNTS, MNIST, loaded, shrink, tfds_mnist, write_mnist

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published import prepare as preparing
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.published.sources import FileFacts, RawFile, is_published
from velodrome.taskgen.data.registry import datasets

pytestmark = pytest.mark.usefixtures("own_cache")


def test_mnist_from_its_own_files(mnist: Path):
    record = prepare("mnist", source=mnist)
    found, info = loaded("mnist"), datasets.get("mnist").info
    assert info.split_sizes == {"train": 40, "heldout": 12}
    assert info.content_hash and info.provenance == "real"
    # Every held-out image is there, with its label.
    images = {image.tobytes(): number for number, image in enumerate(MNIST["test"])}
    numbers = [images[image.tobytes()] for image in found["heldout"]["image"]]
    assert sorted(numbers) == list(range(12))
    assert found["heldout"]["label"].tolist() == [number % 10 for number in numbers]
    assert numbers != sorted(numbers)  # in the order of TFDS, not in that of the file
    # The training split is 80% of the images, each once.
    images = {image.tobytes(): number for number, image in enumerate(MNIST["train"])}
    assert len({images[image.tobytes()] for image in found["train"]["image"]}) == 40
    assert all(isinstance(array, np.memmap) for array in found["train"].values())
    assert record.published is False  # these are not the published files, and it says so
    assert set(record.files) == {path.name for path in mnist.iterdir()}


def test_files_may_be_unpacked_and_in_a_folder(mnist: Path, tmp_path: Path, elsewhere: Any):
    prepare("mnist", source=mnist)
    packed = datasets.get("mnist").info.content_hash
    elsewhere()
    write_mnist(tmp_path / "other" / "raw", MNIST, packed=False)
    assert prepare("mnist", source=tmp_path / "other").published is False
    assert datasets.get("mnist").info.content_hash == packed


def test_a_folder_of_tfds_gives_the_same_bytes_as_the_original_files(
    mnist: Path, tmp_path: Path, elsewhere: Any
):
    """So the order in which TFDS stores examples is the one made here."""
    prepare("mnist", source=mnist)
    own = datasets.get("mnist").info
    folder = tfds_mnist(tmp_path / "tfds")
    for source in (tmp_path / "tfds", folder.parent, folder):
        elsewhere()
        prepare("mnist", source=source)
        assert datasets.get("mnist").info.split_hashes == own.split_hashes
    assert "tensorflow" not in sys.modules


def test_other_data_in_a_folder_of_tfds_are_refused(mnist: Path, tmp_path: Path, monkeypatch):
    with pytest.raises(DataError, match="data set 'mnist' of tensorflow-datasets, but fashion"):
        prepare("fashion_mnist", source=tfds_mnist(tmp_path / "tfds"))
    shrink(monkeypatch, "mnist", counts={**COUNTS, "train": 60_000})
    with pytest.raises(DataError, match="has 60,000 examples, but .* has 50"):
        prepare("mnist", source=tmp_path / "tfds")
    shrink(monkeypatch, "mnist", counts=COUNTS)
    (shard,) = (tmp_path / "tfds/mnist/3.0.1").glob("*train.array_record*")
    content = shard.read_bytes()
    for damage in (content[: len(content) // 2], content[:100] + bytes(1000) + content[1100:]):
        shard.write_bytes(damage)
        with pytest.raises(DataError, match="is damaged"):
            prepare("mnist", source=tmp_path / "tfds")
    info = tmp_path / "tfds/mnist/3.0.1/dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "riegeli"))
    with pytest.raises(DataError, match="stored as riegeli, which only TensorFlow can read"):
        prepare("mnist", source=tmp_path / "tfds")


def test_damaged_idx_files_are_refused(mnist: Path):
    path = mnist / "train-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(content[:-12])
    with pytest.raises(DataError, match="train-labels-idx1-ubyte.gz is damaged"):
        prepare("mnist", source=mnist)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="no IDX file of unsigned bytes"):
        prepare("mnist", source=mnist)
    tinydata.write_idx(path, np.zeros(49, np.uint8))
    with pytest.raises(DataError, match=r"\(50, 28, 28, 1\), with labels of \(49,\)"):
        prepare("mnist", source=mnist)
    tinydata.write_idx(path, np.zeros((50, 1), np.uint8))
    with pytest.raises(DataError, match=r"with labels of \(50, 1\)"):
        prepare("mnist", source=mnist)
    tinydata.write_idx(path, np.full(50, 10, np.uint8))
    with pytest.raises(DataError, match="has a label 10, but labels go from 0 to 9"):
        prepare("mnist", source=mnist)
    path.unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte"):
        prepare("mnist", source=mnist)
    assert datasets.get("mnist").info.content_hash == ""


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_that_end_in_their_header(tmp_path: Path, monkeypatch, packed: bool):
    shrink(monkeypatch, "mnist", counts=COUNTS)
    write_mnist(tmp_path, MNIST, packed=packed)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    for length in (4, 9, 15):
        path.write_bytes(gzip.compress(content[:length]) if packed else content[:length])
        words = f"{path.name} is cut off: it ends inside its header of 16 bytes"
        with pytest.raises(DataError, match=words):
            prepare("mnist", source=tmp_path)
    path.write_bytes(gzip.compress(content[:16]) if packed else content[:16])
    with pytest.raises(DataError, match="its header says 50x28x28 bytes, and it has 0"):
        prepare("mnist", source=tmp_path)


def test_the_whole_original_is_asked_for(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "mnist", counts={"train": 60_000, "test": 10_000})
    with pytest.raises(DataError, match=r"images of \(60000, 28, 28, 1\), but here they are"):
        prepare("mnist", source=mnist)


def test_the_files_of_a_namesake_are_refused(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    """MNIST and Fashion-MNIST name their files alike."""
    path = mnist / "train-images-idx3-ubyte.gz"
    facts = FileFacts.of(path)
    file = RawFile(f"http://nowhere/{path.name}", facts.bytes, facts.sha256)
    shrink(monkeypatch, "fashion_mnist", files=(file,))
    with pytest.raises(DataError, match="is a file of fashion_mnist, not of mnist"):
        prepare("mnist", source=mnist)


@pytest.mark.parametrize("name", ["mnist", "MNIST"])
def test_the_folder_of_the_data_set_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Several data sets in one folder, unpacked, so that no hash tells them apart."""
    shrink(monkeypatch, "mnist", counts=COUNTS)
    others = {split: 255 - images for split, images in MNIST.items()}
    write_mnist(tmp_path / "Fashion-MNIST", others, packed=False)
    write_mnist(tmp_path / "older", others, packed=False)
    write_mnist(tmp_path / name, MNIST, packed=False)
    prepare("mnist", source=tmp_path)
    known = {image.tobytes() for image in MNIST["test"]}
    assert {image.tobytes() for image in loaded("mnist")["heldout"]["image"]} == known


def test_several_folders_with_the_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shrink(monkeypatch, "mnist", counts=COUNTS)
    for name in ("fashion_mnist", "older"):
        write_mnist(tmp_path / name, MNIST, packed=False)
    words = "several folders in .* names that mnist has: fashion_mnist, older. Give the right one"
    with pytest.raises(DataError, match=words):
        prepare("mnist", source=tmp_path)
    prepare("mnist", source=tmp_path / "older")


def test_classes_are_counted(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    """So the unpacked files of Fashion-MNIST, which have no known hash, are not those of MNIST."""
    even = {"train": (5,) * 10, "test": (2, 2, 1, 1, 1, 1, 1, 1, 1, 1)}
    shrink(monkeypatch, "mnist", counts=COUNTS, class_counts={**even, "test": (1,) * 8 + (2, 2)})
    words = "the test split of mnist has 1 image of class 0, but these files have 2: they"
    with pytest.raises(DataError, match=words):
        prepare("mnist", source=mnist)
    shrink(monkeypatch, "mnist", counts=COUNTS, class_counts=even)
    prepare("mnist", source=mnist)


def test_published_class_counts_are_of_the_whole_splits():
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        recipe = RECIPES[name]
        classes = datasets.get(name).info.num_classes
        assert set(recipe.class_counts) == set(recipe.counts) == {"train", "test"}
        for split, counts in recipe.class_counts.items():
            assert len(counts) == classes and sum(counts) == recipe.counts[split]
    assert RECIPES["mnist"].class_counts != RECIPES["fashion_mnist"].class_counts


def test_whether_files_are_the_published_ones():
    files = tuple(RawFile(f"http://nowhere/{name}", 1, f"hash of {name}") for name in "ab")
    right, wrong = FileFacts(1, "hash of a"), FileFacts(1, "another")
    unknown = {"c": FileFacts(1, "hash of c")}  # an unpacked file, whose hash nobody published
    assert is_published({"a": right}, files) is True
    assert is_published({"a": wrong, "b": FileFacts(1, "hash of b")}, files) is False
    assert is_published({"a": wrong, **unknown}, files) is False
    assert is_published({"a": right, **unknown}, files) is None
    assert is_published(unknown, files) is None and is_published({}, files) is None


def test_files_packed_anew_are_the_published_ones(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    """Another header of gzip is another file, with the same data in it."""
    facts = {path.name: FileFacts.of(path, content=True) for path in mnist.iterdir()}
    files = tuple(RawFile(f"http://nowhere/{n}", 1, "?", f.content) for n, f in facts.items())
    shrink(monkeypatch, "mnist", files=files)
    shrink(monkeypatch, "fashion_mnist", counts=COUNTS)
    assert prepare("mnist", source=mnist).published is True
    with pytest.raises(DataError, match="is a file of mnist, not of fashion_mnist"):
        prepare("fashion_mnist", source=mnist)
    labels = mnist / "t10k-labels-idx1-ubyte.gz"
    assert is_published({"other": FileFacts.of(labels, content=True)}, files) is True
    labels.write_bytes(labels.read_bytes()[:-9])  # damaged: what is in it is not known
    assert FileFacts.of(labels, content=True).content == ""


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_folders_of_torchvision_and_of_kaggle_are_found(
    name: str, mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    shrink(monkeypatch, name, counts=COUNTS)
    prepare(name, source=mnist)
    expected = datasets.get(name).info.content_hash
    write_mnist(tmp_path / "tv" / ("MNIST" if name == "mnist" else "FashionMNIST") / "raw", MNIST)
    other = {split: images[::-1] for split, images in MNIST.items()}
    write_mnist(tmp_path / "tv" / ("KMNIST" if name == "mnist" else "MNIST") / "raw", other)
    write_mnist(tmp_path / "kaggle", MNIST, packed=False)
    for path in sorted((tmp_path / "kaggle").iterdir()):
        if "images" in path.name:
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
        else:
            content = path.read_bytes()
            path.unlink()
            path.mkdir()
            (path / path.name).write_bytes(content)
    for folder in ("tv", "kaggle"):
        elsewhere()
        prepare(name, source=tmp_path / folder)
        assert datasets.get(name).info.content_hash == expected


def test_tfds_prepares_what_it_can_with_tensorflow(
    mnist: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    """The builder is a tiny one; that TFDS is asked for ArrayRecord is what is tested."""
    import tensorflow_datasets as tfds

    prepare("mnist", source=mnist)
    own = datasets.get("mnist").info.split_hashes
    elsewhere()
    asked: list[tuple[str, str]] = []

    def builder(name: str, *, data_dir: str, file_format: str) -> Any:
        asked.append((name, file_format))
        build = functools.partial(tfds_mnist, Path(data_dir), file_format=file_format)
        return SimpleNamespace(download_and_prepare=build)

    monkeypatch.setattr(preparing.util, "find_spec", lambda name: "there")
    monkeypatch.setattr(tfds, "builder", builder)
    prepare("mnist")
    assert asked == [("mnist", "array_record")]
    assert datasets.get("mnist").info.split_hashes == own
