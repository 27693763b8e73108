"""Published data in their true formats, tiny: each way of preparing gives the same bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinydata
from tinydata import build_tfds, encoded, random_images, shrink, write_mnist, write_tar

from foundation.errors import DataError
from taskgen.data import datasets, hash_arrays
from taskgen.data.images import resize_bilinear
from taskgen.data.published import prepare as preparing
from taskgen.data.published import tokens, writer
from taskgen.data.published.prepare import prepare
from taskgen.data.published.prepared import prepared_dir
from taskgen.data.published.reader import SplitReader
from taskgen.data.published.splits import Part, tfds_order
from taskgen.data.source import open_view
from taskgen.families.base import ImageView


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts over with an empty cache, to prepare the same data in another way."""
    numbers = iter(range(100))

    def start() -> None:
        monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / f"cache{next(numbers)}"))

    return start


MNIST = {"train": random_images(50, 28, 1), "test": random_images(12, 28, 1, seed=1)}
COUNTS = {split: len(images) for split, images in MNIST.items()}


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST of 50 and 12 images, in IDX files."""
    shrink(monkeypatch, "mnist", counts=COUNTS)
    write_mnist(tmp_path / "idx", MNIST)
    return tmp_path / "idx"


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
            (number, {"image": _file(encoded(image, "PNG")), "label": number % 10})
            for number, image in enumerate(images)
        ]
        for split, images in MNIST.items()
    }
    return build_tfds("mnist", folder, features, splits, version="3.0.1", **options)


def _file(content: bytes) -> Any:
    import io

    return io.BytesIO(content)


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
    assert record["published"] is False  # these are not the published files, and it says so
    assert set(record["files"]) == {path.name for path in mnist.iterdir()}


def test_files_may_be_unpacked_and_in_a_folder(mnist: Path, tmp_path: Path, elsewhere: Any):
    prepare("mnist", source=mnist)
    packed = datasets.get("mnist").info.content_hash
    elsewhere()
    write_mnist(tmp_path / "other" / "raw", MNIST, packed=False)
    assert prepare("mnist", source=tmp_path / "other")["published"] is None
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
    import sys

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
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="stored as tfrecord, which only TensorFlow can read"):
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
    with pytest.raises(DataError, match=r"\(50, 28, 28, 1\), with 49 labels"):
        prepare("mnist", source=mnist)
    tinydata.write_idx(path, np.full(50, 10, np.uint8))
    with pytest.raises(DataError, match="has a label 10, but labels go from 0 to 9"):
        prepare("mnist", source=mnist)
    path.unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte"):
        prepare("mnist", source=mnist)
    assert datasets.get("mnist").info.content_hash == ""


def test_the_whole_original_is_asked_for(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "mnist", counts={"train": 60_000, "test": 10_000})
    with pytest.raises(DataError, match=r"images of \(60000, 28, 28, 1\), but here they are"):
        prepare("mnist", source=mnist)


def test_the_files_of_a_namesake_are_refused(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    """MNIST and Fashion-MNIST name their files alike."""
    from taskgen.data.published.sources import RawFile, describe_file

    path = mnist / "train-images-idx3-ubyte.gz"
    entry = describe_file(path)
    file = RawFile(f"http://nowhere/{path.name}", entry["bytes"], entry["sha256"])
    shrink(monkeypatch, "fashion_mnist", files=(file,))
    with pytest.raises(DataError, match="is a file of fashion_mnist, not of mnist"):
        prepare("mnist", source=mnist)


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


def test_cifar_pickles_are_refused_and_damage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80")
    with pytest.raises(DataError, match="is pickled; nothing is unpickled.*binary version"):
        prepare("cifar10", source=tmp_path)
    (tmp_path / "cifar-100-binary").mkdir()
    for file in ("train.bin", "test.bin"):
        (tmp_path / "cifar-100-binary" / file).write_bytes(b"0" * 5000)
    with pytest.raises(DataError, match="train.bin is cut off.*no multiple of 3,074"):
        prepare("cifar100", source=tmp_path)
    write_tar(tmp_path / "cifar-100-binary.tar.gz", {"cifar-100-binary/train.bin": b"1"})
    with pytest.raises(DataError, match="lacks test.bin"):
        prepare("cifar100", source=tmp_path)
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(DataError, match="cifar-100-binary.tar.gz is damaged"):
        prepare("cifar100", source=tmp_path)


def test_food101_from_its_folder_and_from_tfds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    import tensorflow_datasets as tfds

    classes = [f"dish_{number}" for number in range(101)]
    shrink(monkeypatch, "food101_64", counts={"train": 202, "validation": 101})
    made = tinydata.write_food101(tmp_path / "food-101", classes, {"train": 2, "validation": 1})
    prepare("food101_64", source=tmp_path)
    found, info = loaded("food101_64"), datasets.get("food101_64").info
    assert info.split_sizes == {"train": 162, "heldout": 101}
    image = found["train"]["image"]
    # Resized from any size, before scaling and not rounded: as the original did.
    assert image.shape == (162, 64, 64, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 255 and (image != np.round(image)).any()
    order = tfds_order([key for key, *_ in made["validation"]], "validation")
    key, _, label = made["validation"][order[0]]
    pixels = np.asarray(tinydata.Image.open(tmp_path / f"food-101/images/{key}.jpg"))
    expected = resize_bilinear(pixels[None], 64)[0]
    np.testing.assert_array_equal(found["heldout"]["image"][0], expected)
    assert found["heldout"]["label"][0] == label
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=classes)}
    )
    splits = {
        split: [(key, {"image": _file(jpeg), "label": label}) for key, jpeg, label in examples]
        for split, examples in made.items()
    }
    build_tfds("food101", tmp_path / "tfds", features, splits, version="2.0.0")
    elsewhere()
    prepare("food101_64", source=tmp_path / "tfds")
    assert datasets.get("food101_64").info.split_hashes == info.split_hashes


def test_imagenet_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    few = dataclasses.replace(datasets.get("imagenet16").facts, num_classes=2)  # type: ignore
    monkeypatch.setattr(preparing, "INFOS", (few,))
    shrink(monkeypatch, "imagenet16", counts={"train": 10, "validation": 4})
    for folder, each in (("train", 5), ("val", 2)):
        for number, name in enumerate(("n01440764", "n01443537")):
            (tmp_path / folder / name).mkdir(parents=True)
            for at in range(each):
                pixels = random_images(1, 40, 3, seed=at + 10 * number)[0][: 30 + at]
                path = tmp_path / folder / name / f"{name}_{at}.JPEG"
                path.write_bytes(encoded(pixels, "JPEG"))
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


def sentences(count: int, split: str) -> list[str]:
    return [f"{split} sentence {number} , caf\u00e9 ." for number in range(count)]


def write_lm1b(folder: Path, texts: dict[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Writes the text files, half of the sentences in each; returns keys and texts."""
    from taskgen.data.published.lm1b import FOLDERS

    keyed: dict[str, list[tuple[str, str]]] = {}
    for split, (name, pattern) in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        keyed[split], half = [], len(texts[split]) // 2
        for part, some in enumerate((texts[split][:half], texts[split][half:])):
            file = folder / name / pattern.replace("*", f"0000{part}-of-00002")
            file.write_text("".join(f" {text}\n" for text in some), encoding="utf-8")
            keyed[split] += [(f"{file.name}_{at}", text) for at, text in enumerate(some)]
    return keyed


def tfds_text(name: str, folder: Path, splits: dict[str, list[tuple[str, str]]], **options: Any):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
    examples = {
        split: [(key, {"text": text}) for key, text in texts] for split, texts in splits.items()
    }
    return build_tfds(name, folder, features, examples, **options)


def text_of(arrays: dict[str, np.ndarray], at: int) -> str:
    tokens, offsets = arrays["tokens"], arrays["offsets"]
    return bytes(tokens[offsets[at] : offsets[at + 1]] - 3).decode()


def test_lm1b_from_its_files_and_from_tfds(tmp_path: Path, elsewhere: Any):
    texts = {"train": sentences(100, "train"), "test": sentences(7, "test")}
    texts["train"][3] = "x" * 3000
    texts["train"][5] = ""
    keyed = write_lm1b(tmp_path / "raw", texts)
    prepare("lm1b_bytes", source=tmp_path / "raw")
    found, info = loaded("lm1b_bytes"), datasets.get("lm1b_bytes").info
    assert info.split_sizes == {"train": 98, "heldout": 7}  # the first 2% are left out
    assert found["train"]["tokens"].dtype == np.uint8
    read = [text_of(found["train"], at) for at in range(98)]
    order = tfds_order([key for key, _ in keyed["train"]], "train")[2:]
    assert read == [keyed["train"][at][1][:1025] for at in order]
    assert sorted(text_of(found["heldout"], at) for at in range(7)) == sorted(texts["test"])
    elsewhere()
    tfds_text("lm1b", tmp_path / "tfds", keyed, version="1.1.0")
    prepare("lm1b_bytes", source=tmp_path / "tfds")
    assert datasets.get("lm1b_bytes").info.split_hashes == info.split_hashes
    elsewhere()
    root = "1-billion-word-language-modeling-benchmark-r13output"
    files = {
        f"{root}/{path.relative_to(tmp_path / 'raw')}": path.read_bytes()
        for path in sorted((tmp_path / "raw").rglob("news*"))
    }
    (tmp_path / "packed").mkdir()
    write_tar(tmp_path / "packed" / f"{root}.tar.gz", files)
    prepare("lm1b_bytes", source=tmp_path / "packed")
    assert datasets.get("lm1b_bytes").info.split_hashes == info.split_hashes


def test_wikipedia_from_tfds(tmp_path: Path):
    keyed = {"train": [(str(at), text) for at, text in enumerate(sentences(100, "article"))]}
    tfds_text("wikipedia", tmp_path, keyed, config="20201201.en")
    prepare("wikipedia_bytes", source=tmp_path)
    found = loaded("wikipedia_bytes")
    order = tfds_order(range(100), "train")
    read = [text_of(found["train"], at) for at in range(97)]
    assert read == [keyed["train"][at][1] for at in order[3:]]
    assert text_of(found["heldout"], 0) == keyed["train"][order[2]][1]
    assert datasets.get("wikipedia_bytes").info.split_sizes == {"train": 97, "heldout": 1}


def test_another_wikipedia_is_refused(tmp_path: Path):
    keyed = {"train": [("0", "an article"), ("1", "another")]}
    folder = tfds_text("wikipedia", tmp_path, keyed, config="20230601.en")
    with pytest.raises(DataError, match="'wikipedia/20230601.en' .* made of 'wikipedia/20201201"):
        prepare("wikipedia_bytes", source=folder)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model with the ids of T5's, of 60 pieces."""
    sentencepiece = pytest.importorskip("sentencepiece")
    model = tmp_path_factory.mktemp("model") / "sentencepiece.model"
    with model.open("wb") as file:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(sentences(300, "train")),
            model_writer=file,
            vocab_size=40,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=3,
        )
    return model


def test_text_as_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: Path):
    import sentencepiece

    texts = {"train": sentences(50, "train"), "test": sentences(4, "test")}
    keyed = write_lm1b(tmp_path / "raw", texts)
    with pytest.raises(DataError, match=r"not the vocabulary of T5: it has 40 pieces"):
        prepare("lm1b_32k", source=tmp_path / "raw", vocabulary=pieces)
    monkeypatch.setattr(tokens, "PIECES", 40)
    record = prepare("lm1b_32k", source=tmp_path / "raw", vocabulary=pieces)
    assert len(record["notes"]["vocabulary"]) == 64
    found = loaded("lm1b_32k")["train"]
    assert found["tokens"].dtype == np.uint16
    order = tfds_order([key for key, _ in keyed["train"]], "train")[1:]
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(pieces))
    expected = processor.EncodeAsIds(keyed["train"][order[0]][1])  # no end is added
    assert found["tokens"][: found["offsets"][1]].tolist() == expected


def test_the_vocabulary_must_be_given_where_it_is_needed(tmp_path: Path):
    with pytest.raises(DataError, match="lm1b_32k needs the vocabulary of T5.*--vocabulary FILE"):
        prepare("lm1b_32k", source=tmp_path)
    with pytest.raises(DataError, match="mnist takes no vocabulary"):
        prepare("mnist", source=tmp_path, vocabulary=tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        prepare("lm1b_32k", source=tmp_path, vocabulary=tmp_path / "none.model")
    (tmp_path / "bad.model").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is no SentencePiece model"):
        prepare("lm1b_32k", source=tmp_path, vocabulary=tmp_path / "bad.model")


def test_text_that_is_no_utf8_is_refused():
    assert tokens.encode_bytes("a\u00e9".encode()).tolist() == [100, 198, 172]
    with pytest.raises(DataError, match="byte 255, which UTF-8 never has"):
        tokens.encode_bytes(b"a\xff")


def test_parts_are_rounded_as_tfds_rounds_them():
    import tensorflow_datasets as tfds

    for count in (99, 100, 101, 125, 150, 5003):
        info = tfds.core.SplitInfo(
            name="train", shard_lengths=[count], num_bytes=0, filename_template=None
        )
        for part in (Part("train", 0, 80), Part("train", 2, 100), Part("train", 2, 3)):
            instruction = tfds.core.ReadInstruction.from_spec(part.instruction)
            (absolute,) = instruction.to_absolute({"train": info})
            first, last = part.bounds(count)
            assert (absolute.from_ or 0, count if absolute.to is None else absolute.to) == (
                first,
                last,
            )


def reader_of(count: int, seen: list[int], fail_at: int = -1) -> SplitReader:
    def read(start: int, stop: int) -> dict[str, np.ndarray]:
        if start == fail_at:
            raise KeyboardInterrupt
        seen.append(start)
        lengths = np.arange(start, stop) % 4
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.repeat(np.arange(start, stop), lengths).astype(np.uint16)
        return {"tokens": tokens, "offsets": offsets}

    return SplitReader(count, read)


def test_an_interrupted_preparation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "CHUNK", 8)
    whole, seen = tmp_path / "whole", []
    writer.write_split(whole, reader_of(30, seen), source="one")
    assert seen == [0, 8, 16, 24]
    tokens, offsets = np.load(whole / "tokens.npy"), np.load(whole / "offsets.npy")
    assert len(offsets) == 31 and offsets.dtype == np.int64
    for at in range(30):
        assert tokens[offsets[at] : offsets[at + 1]].tolist() == [at] * (at % 4)
    part, seen = tmp_path / "part", []
    with pytest.raises(KeyboardInterrupt):
        writer.write_split(part, reader_of(30, seen, fail_at=16), source="one")
    with (part / "tokens.raw").open("ab") as file:
        file.write(b"what was written after the last note")
    told: list[tuple[int, int]] = []
    writer.write_split(
        part, reader_of(30, seen), source="one", progress=lambda *done: told.append(done)
    )
    assert seen == [0, 8, 16, 24] and told == [(24, 30), (30, 30)]
    assert sorted(path.name for path in part.iterdir()) == ["offsets.npy", "tokens.npy"]
    np.testing.assert_array_equal(np.load(part / "tokens.npy"), tokens)
    np.testing.assert_array_equal(np.load(part / "offsets.npy"), offsets)
    other, seen = tmp_path / "other", []
    with pytest.raises(KeyboardInterrupt):
        writer.write_split(other, reader_of(30, seen, fail_at=16), source="one")
    writer.write_split(other, reader_of(30, seen), source="two")  # another source: from the start
    assert seen == [0, 8, 0, 8, 16, 24]


def test_an_interrupted_data_set_goes_on_with_its_second_split(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
):
    real, written = preparing.write_split, []

    def write(folder: Path, *args: Any, **options: Any) -> None:
        if not written and folder.name == "heldout.part":
            written.append("interrupted")
            raise KeyboardInterrupt
        written.append(folder.name)
        real(folder, *args, **options)

    monkeypatch.setattr(preparing, "write_split", write)
    with pytest.raises(KeyboardInterrupt):
        written.clear()
        monkeypatch.setattr(preparing, "write_split", interrupted_at("heldout.part", real))
        prepare("mnist", source=mnist)
    assert datasets.get("mnist").info.content_hash == ""  # not complete, so not there
    with pytest.raises(DataError, match="'train' split of 'mnist' is not here"):
        datasets.get("mnist").load("train")
    monkeypatch.setattr(preparing, "write_split", write)
    written.append("second call")
    prepare("mnist", source=mnist)
    assert written == ["second call", "heldout.part"]
    assert loaded("mnist")["train"]["image"].shape == (40, 28, 28, 1)


def interrupted_at(name: str, real: Any) -> Any:
    def write(folder: Path, *args: Any, **options: Any) -> None:
        if folder.name == name:
            raise KeyboardInterrupt
        real(folder, *args, **options)

    return write


def test_damage_after_the_preparation_is_found(mnist: Path, tmp_path: Path):
    prepare("mnist", source=mnist)
    path = prepared_dir("mnist") / "train" / "image.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="have the content hash .* was recorded"):
        datasets.get("mnist").load("train")
    datasets.get("mnist").load("heldout")
    path.write_bytes(content[:100])
    with pytest.raises(DataError, match="are damaged: .*Delete"):
        datasets.get("mnist").load("train")
    (prepared_dir("mnist") / "record.json").write_text('{"splits": 3}')
    with pytest.raises(DataError, match="record.json is damaged"):
        _ = datasets.get("mnist").info


def test_prepared_data_are_not_prepared_again(mnist: Path):
    first = prepare("mnist", source=mnist)
    assert prepare("mnist") == first
    with pytest.raises(DataError, match="is prepared already, from IDX files"):
        prepare("mnist", source=mnist)


def test_hashes_on_record_are_those_of_the_arrays(mnist: Path):
    prepare("mnist", source=mnist)
    record = json.loads((prepared_dir("mnist") / "record.json").read_text())
    for split, arrays in loaded("mnist").items():
        assert record["splits"][split]["hash"] == hash_arrays(arrays)
        assert datasets.get("mnist").info.split_hashes[split] == hash_arrays(arrays)


def test_what_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_data_prepared_anew_are_opened_anew(mnist: Path, tmp_path: Path, elsewhere: Any):
    """One process may see two preparations: no cache in memory may mix them."""
    view = ImageView(28, 1, 10)
    prepare("mnist", source=mnist)
    before = open_view(datasets.get("mnist"), view, "heldout")
    elsewhere()
    write_mnist(tmp_path / "other", {**MNIST, "test": 255 - MNIST["test"]})
    prepare("mnist", source=tmp_path / "other")
    after = open_view(datasets.get("mnist"), view, "heldout")
    assert after.content_hash != before.content_hash
    images = [np.asarray(source.arrays["image"]) for source in (before, after)]
    np.testing.assert_array_equal(images[1], 255 - images[0])
    assert open_view(datasets.get("mnist"), view, "heldout") is after
