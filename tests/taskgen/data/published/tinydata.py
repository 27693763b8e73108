"""Tiny data sets in the true formats of the published ones."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import struct
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from velodrome.taskgen.data.published import prepare, recipes
from velodrome.taskgen.data.published.readers.lm1b import FOLDERS
from velodrome.taskgen.data.published.readers.tfrecord import masked_checksum
from velodrome.taskgen.data.registry import datasets


def shrink(monkeypatch: pytest.MonkeyPatch, name: str, *, classes: int = 0, **changes: Any) -> None:
    """Replace a published data set by a tiny one: other counts, files, or number of classes."""
    if classes:
        infos = [
            dataclasses.replace(info, num_classes=classes) if info.name == name else info
            for info in prepare.INFOS
        ]
        monkeypatch.setattr(prepare, "INFOS", tuple(infos))
    if "counts" in changes:
        changes = {"class_counts": {}, **changes}
    recipe = dataclasses.replace(recipes.RECIPES[name], **changes)
    monkeypatch.setitem(recipes.RECIPES, name, recipe)  # type: ignore[arg-type] - typed as a Mapping, but it is a dict


def replace_facts(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """Replace facts of the data set of a workload."""
    infos = [
        dataclasses.replace(info, **changes) if info.name == name else info
        for info in prepare.WORKLOADS
    ]
    monkeypatch.setattr(prepare, "WORKLOADS", tuple(infos))
    facts = next(info for info in infos if info.name == name)
    monkeypatch.setattr(datasets.get(name), "facts", facts)


def random_images(count: int, side: int, channels: int, *, seed: int = 0) -> np.ndarray:
    words = np.random.Philox(key=seed).random_raw(count * side * side * channels)
    return (words % 256).astype(np.uint8).reshape(count, side, side, channels)


MNIST = {"train": random_images(50, 28, 1), "test": random_images(12, 28, 1, seed=1)}
COUNTS = {split: len(images) for split, images in MNIST.items()}
"""An MNIST of 50 and 12 images, and its counts."""


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_mnist(folder: Path, images: Mapping[str, np.ndarray], *, packed: bool = True) -> None:
    """Write the four files of MNIST; the label of image i is i mod 10."""
    folder.mkdir(parents=True, exist_ok=True)
    end = ".gz" if packed else ""
    for split, name in (("train", "train"), ("test", "t10k")):
        image = images[split]
        write_idx(folder / f"{name}-images-idx3-ubyte{end}", image[..., 0])
        label = (np.arange(len(image)) % 10).astype(np.uint8)
        write_idx(folder / f"{name}-labels-idx1-ubyte{end}", label)


def cifar_records(images: np.ndarray, labels: np.ndarray, *, coarse: bool = False) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    columns = [labels[:, None].astype(np.uint8), planes]
    if coarse:
        columns.insert(0, (labels[:, None] // 5).astype(np.uint8))
    return np.concatenate(columns, axis=1).tobytes()


def write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def sentences(count: int, split: str) -> list[str]:
    return [f"{split} sentence {number} , caf\u00e9 ." for number in range(count)]


def write_lm1b(folder: Path, texts: Mapping[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Write two text files a split; return keys and texts."""
    keyed: dict[str, list[tuple[str, str]]] = {}
    for split, (name, pattern) in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        keyed[split], half = [], len(texts[split]) // 2
        for part, some in enumerate((texts[split][:half], texts[split][half:])):
            file = folder / name / pattern.replace("*", f"0000{part}-of-00002")
            file.write_text("".join(f" {text}\n" for text in some), encoding="utf-8")
            keyed[split] += [(f"{file.name}_{at}", text) for at, text in enumerate(some)]
    return keyed


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder, with its name."""
    files = {
        str(path.relative_to(folder.parent)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    write_tar(archive, files)


def encoded(image: np.ndarray, form: str) -> bytes:
    """Return an image file: PNG, or JPEG (which loses a little)."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(buffer, form, quality=90) if form == "JPEG" else picture.save(buffer, form)
    return buffer.getvalue()


DISHES = [f"dish_{number:02}" for number in range(16)]
FOOD101 = {"counts": {"train": 32, "validation": 16}, "classes": len(DISHES)}
"""A Food-101 of 16 classes, with two images and one."""


def write_food101(root: Path) -> dict[str, list[tuple[str, bytes, int]]]:
    """Write ``meta/`` and ``images/``; return (key, JPEG, label) of each split of TFDS."""
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "classes.txt").write_text("\n".join(DISHES) + "\n")
    made: dict[str, list[tuple[str, bytes, int]]] = {}
    for split, listed in (("train", "train"), ("validation", "test")):
        made[split], by_class = [], {}
        each = FOOD101["counts"][split] // len(DISHES)
        for label, name in enumerate(DISHES):
            by_class[name] = [f"{name}/{split}{number}" for number in range(each)]
            for number, key in enumerate(by_class[name]):
                pixels = random_images(1, 80 + 7 * number, 3, seed=label + 100 * number)[0]
                content = encoded(pixels[: 70 + number], "JPEG")
                path = root / "images" / f"{key}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                made[split].append((key, content, label))
        (root / "meta" / f"{listed}.json").write_text(json.dumps(by_class))
    return made


def build_tfds(
    name: str,
    data_dir: Path,
    features: Any,
    splits: Mapping[str, Iterable[tuple[Any, dict[str, Any]]]],
    *,
    version: str = "1.0.0",
    config: str = "",
    file_format: str = "array_record",
) -> Path:
    """Prepare a data set with tensorflow-datasets itself, without TensorFlow.

    ``splits`` are keys and examples; returns the folder of the version.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    configs = [tfds.core.BuilderConfig(name=config, version=version)] if config else []

    def info(self: Any) -> Any:
        return tfds.core.DatasetInfo(builder=self, features=features)

    def generate(self: Any, examples: Any) -> Iterator[Any]:
        yield from examples

    def generators(self: Any, manager: Any) -> Any:
        return {split: generate(self, examples) for split, examples in splits.items()}

    body = {
        "name": name,
        "VERSION": tfds.core.Version(version),
        "BUILDER_CONFIGS": configs,
        "_info": info,
        "_split_generators": generators,
        "_generate_examples": generate,
        "__module__": __name__,
    }
    with registered.skip_registration():
        made = type("Tiny", (tfds.core.GeneratorBasedBuilder,), body)
        builder = made(data_dir=str(data_dir), file_format=file_format)
    builder.download_and_prepare()
    return Path(builder.data_path)


def as_tfrecords(folder: Path) -> None:
    """Store what `build_tfds` wrote as TFRecord, in the format that TensorFlow writes."""
    from array_record.python.array_record_module import ArrayRecordReader

    for path in folder.glob("*.array_record*"):
        records = ArrayRecordReader(str(path)).read_all()
        write_tfrecord(path.with_name(path.name.replace("array_record", "tfrecord")), records)
        path.unlink()
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))


def write_tfrecord(path: Path, records: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for record in records:
            for part in (struct.pack("<Q", len(record)), record):
                file.write(part + struct.pack("<I", masked_checksum(part)))


def loaded(name: str) -> dict[str, dict[str, np.ndarray]]:
    return {split: dict(datasets.get(name).load(split)) for split in ("train", "heldout")}


def tfds_mnist(folder: Path, **options: Any) -> Path:
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    splits = {
        split: [
            (number, {"image": as_file(encoded(image, "PNG")), "label": number % 10})
            for number, image in enumerate(images)
        ]
        for split, images in MNIST.items()
    }
    return build_tfds("mnist", folder, features, splits, version="3.0.1", **options)


def as_file(content: bytes) -> Any:
    """Return a file object, as builders of TFDS take encoded images."""
    return io.BytesIO(content)
