"""CIFAR, Food-101 and ImageNet in their true formats, tiny: each way gives the same bytes."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinydata
from tinydata import (
    as_file,
    build_tfds,
    encoded,
    loaded,
    pack,
    random_images,
    replace_facts,
    shrink,
    write_tar,
)

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.images import resize_bicubic, resize_bilinear
from velodrome.taskgen.data.published import prepare as preparing
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.splits import tfds_order
from velodrome.taskgen.data.registry import datasets

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_packed_and_unpacked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    coarse, classes = name == "cifar100", 100 if name == "cifar100" else 10
    shrink(monkeypatch, name, counts={"train": 25, "test": 6})
    images = random_images(31, 32, 3)
    labels = (np.arange(31) * 7) % classes
    train = tinydata.cifar_records(images[:25], labels[:25], coarse=coarse)
    test = tinydata.cifar_records(images[25:], labels[25:], coarse=coarse)
    if coarse:
        files = {"cifar-100-binary/train.bin": train, "cifar-100-binary/test.bin": test}
        archive = tmp_path / "cifar-100-binary.tar.gz"
    else:
        fifth = len(train) // 5
        batches = {f"data_batch_{n + 1}.bin": train[n * fifth :][:fifth] for n in range(5)}
        files = {f"cifar-10-batches-bin/{file}": part for file, part in batches.items()}
        files["cifar-10-batches-bin/test_batch.bin"] = test
        archive = tmp_path / "cifar-10-binary.tar.gz"
    write_tar(archive, files)
    prepare(name, source=tmp_path)
    found, info = loaded(name), datasets.get(name).info
    assert info.split_sizes == {"train": 20, "heldout": 6}
    order = tfds_order(range(25), "train")[:20]
    np.testing.assert_array_equal(found["train"]["image"], images[:25][order])
    np.testing.assert_array_equal(found["train"]["label"], labels[:25][order])
    assert found["train"]["label"].dtype == np.int32
    elsewhere()
    for file, content in files.items():
        path = tmp_path / "unpacked" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    prepare(name, source=tmp_path / "unpacked")
    assert datasets.get(name).info.split_hashes == info.split_hashes


def python_2_pickle(fields: dict[str, Any]) -> bytes:
    """Return a dict of texts and lists as Python 2 pickles it, which is how CIFAR was made."""
    parts = [b"\x80\x02}q\x01("]
    for name, value in fields.items():
        parts.append(b"U" + bytes([len(name)]) + name.encode())
        if isinstance(value, bytes):
            parts.append(b"T" + len(value).to_bytes(4, "little") + value)
        else:
            parts.append(b"]q\x02(" + b"".join(b"K" + bytes([number]) for number in value) + b"e")
    return b"".join([*parts, b"u."])


def python_3_pickle(fields: dict[str, Any]) -> bytes:
    data = np.frombuffer(fields["data"], np.uint8).reshape(-1, 3072)
    return pickle.dumps({**fields, "data": data}, protocol=2)


@pytest.mark.parametrize("dumps", [python_2_pickle, python_3_pickle])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_as_torchvision_keeps_it_is_read_without_unpickling(
    name: str, dumps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ten = name == "cifar10"
    key, folder = ("labels", "cifar-10-batches-py") if ten else ("fine_labels", "cifar-100-python")
    shrink(monkeypatch, name, counts={"train": 25, "test": 6})
    images, labels = random_images(31, 32, 3), (np.arange(31) * 7) % (10 if ten else 100)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)  # other data sets lie beside it
    (tmp_path / folder).mkdir()
    parts = {f"data_batch_{n + 1}": range(5 * n, 5 * n + 5) for n in range(5)}
    parts = (
        {**parts, "test_batch": range(25, 31)}
        if ten
        else {"train": range(25), "test": range(25, 31)}
    )
    for file, rows in parts.items():
        planes = images[list(rows)].transpose(0, 3, 1, 2).tobytes()
        fields = {"batch_label": b"training batch", "coarse_labels": [1, 2], "data": planes}
        fields[key] = labels[list(rows)].tolist()
        (tmp_path / folder / file).write_bytes(dumps({**fields, "filenames": []}))
    monkeypatch.setattr(pickle, "loads", None)
    record = prepare(name, source=tmp_path)
    found, order = loaded(name), tfds_order(range(25), "train")[:20]
    np.testing.assert_array_equal(found["train"]["image"], images[:25][order])
    np.testing.assert_array_equal(found["train"]["label"], labels[:25][order])
    assert record.form == "CIFAR pickles" and record.published is None


def test_damaged_files_of_cifar_are_refused(tmp_path: Path):
    for file in ("train.bin", "test.bin", "train", "test"):
        folder = "cifar-100-binary" if file.endswith("bin") else "python/cifar-100-python"
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / file).write_bytes(b"0" * 5000)
    with pytest.raises(DataError, match="train.bin is cut off.*no multiple of 3,074"):
        prepare("cifar100", source=tmp_path)
    with pytest.raises(DataError, match="train is cut off, or no file of the Python version"):
        prepare("cifar100", source=tmp_path / "python")


def test_food101_from_its_folder_and_from_tfds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    import tensorflow_datasets as tfds

    shrink(monkeypatch, "food101_64", **tinydata.FOOD101)
    made = tinydata.write_food101(tmp_path / "food-101")
    prepare("food101_64", source=tmp_path)
    found, info = loaded("food101_64"), datasets.get("food101_64").info
    assert info.split_sizes == {"train": 26, "heldout": 16}
    image = found["train"]["image"]
    # Resized from any size, before scaling and not rounded: as the original did.
    assert image.shape == (26, 64, 64, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 255 and (image != np.round(image)).any()
    order = tfds_order([key for key, *_ in made["validation"]], "validation")
    key, _, label = made["validation"][order[0]]
    pixels = np.asarray(tinydata.Image.open(tmp_path / f"food-101/images/{key}.jpg"))
    expected = resize_bilinear(pixels[None], 64)[0]
    np.testing.assert_array_equal(found["heldout"]["image"][0], expected)
    assert found["heldout"]["label"][0] == label
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=tinydata.DISHES)}
    )
    splits = {
        split: [(key, {"image": as_file(jpeg), "label": label}) for key, jpeg, label in examples]
        for split, examples in made.items()
    }
    build_tfds("food101", tmp_path / "tfds", features, splits, version="2.0.0")
    elsewhere()
    prepare("food101_64", source=tmp_path / "tfds")
    assert datasets.get("food101_64").info.split_hashes == info.split_hashes
    elsewhere()
    pack(tmp_path / "food-101", tmp_path / "packed" / "food-101.tar.gz")
    record = prepare("food101_64", source=tmp_path / "packed")
    assert datasets.get("food101_64").info.split_hashes == info.split_hashes
    assert set(record.files) == {"food-101.tar.gz"} and record.published is False


def write_imagenet(root: Path) -> None:
    """Write five training and two validation images of each of two classes, 40 pixels wide."""
    for folder, each in (("train", 5), ("val", 2)):
        for number, name in enumerate(("n01440764", "n01443537")):
            (root / folder / name).mkdir(parents=True)
            for at in range(each):
                pixels = random_images(1, 40, 3, seed=at + 10 * number)[0][: 30 + at]
                path = root / folder / name / f"{name}_{at}.JPEG"
                path.write_bytes(encoded(pixels, "JPEG"))


def test_imagenet_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "imagenet16", classes=2, counts={"train": 10, "validation": 4})
    write_imagenet(tmp_path)
    prepare("imagenet16", source=tmp_path)
    found = loaded("imagenet16")
    assert found["train"]["image"].shape == (8, 16, 16, 3)
    assert found["train"]["image"].dtype == np.uint8
    names = [f"n0144{end}_{at}.JPEG" for end in ("0764", "3537") for at in range(5)]
    first = names[tfds_order(names, "train")[0]]
    pixels = np.asarray(tinydata.Image.open(tmp_path / "train" / first[:9] / first))
    resized = resize_bilinear(pixels[None], 16)[0]
    np.testing.assert_array_equal(found["train"]["image"][0], np.floor(resized))  # cut off
    (tmp_path / "val/n01443537/n01443537_0.JPEG").write_bytes(b"nonsense")
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "again"))
    with pytest.raises(DataError, match="n01443537_0.JPEG cannot be decoded"):
        prepare("imagenet16", source=tmp_path)
    (tmp_path / "val/n01443537/n01443537_0.JPEG").unlink()
    with pytest.raises(DataError, match="has 4 images, but .* has 3"):
        prepare("imagenet16", source=tmp_path)


def test_imagenet_of_the_workloads_is_cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "imagenet256", counts={"train": 10, "validation": 4})
    sizes = {"train": 10, "heldout": 4}
    replace_facts(monkeypatch, "imagenet256", shape=(16, 16, 3), num_classes=2, split_sizes=sizes)
    write_imagenet(tmp_path)
    prepare("imagenet256", source=tmp_path)
    found = loaded("imagenet256")
    assert found["train"]["image"].shape == (10, 16, 16, 3)  # all of the train split
    names = [f"n0144{end}_{at}.JPEG" for end in ("0764", "3537") for at in range(2)]
    first = names[tfds_order(names, "validation")[0]]
    pixels = np.asarray(tinydata.Image.open(tmp_path / "val" / first[:9] / first))
    side = len(pixels)  # the shorter one
    left = (40 - side) // 2
    resized = resize_bicubic(pixels[None, :, left : left + side], 16)[0]
    expected = np.clip(np.rint(resized), 0, 255)
    np.testing.assert_array_equal(found["heldout"]["image"][0], expected)


def test_tensorflow_datasets_has_the_classes_of_the_validation_images_of_imagenet():
    """docs/how-to/prepare-data.md sorts the images by this file."""
    import tensorflow_datasets as tfds

    path = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt")
    counts = Counter(path.read_text().split())
    assert len(counts) == 1000 and set(counts.values()) == {50}


def test_errors_say_how_to_get_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="register at image-net.org, unpack"):
        prepare("imagenet32")
    with pytest.raises(DataError, match="imagenet32 cannot be downloaded: register"):
        prepare("imagenet32", fetch=True)
    with pytest.raises(DataError, match="prepare wikipedia/20201201.en with tensorflow-datasets"):
        prepare("wikipedia_bytes", source=tmp_path)
    with pytest.raises(DataError, match=r"no folder mnist of .*train-images-idx3-ubyte.gz"):
        prepare("mnist", source=tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        prepare("mnist", source=tmp_path / "nowhere")
    monkeypatch.setattr(preparing.util, "find_spec", lambda name: None)
    needs = r"needs TensorFlow to prepare cifar10.*pip install 'velodrome\[prepare\]'.*--download"
    with pytest.raises(DataError, match=needs):
        prepare("cifar10")
