"""Published text in its true formats, tiny: which tokens of which examples are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinydata import (
    build_tfds,
    loaded,
    write_tar,
)

from foundation.errors import DataError
from taskgen.data import datasets
from taskgen.data.published import tokens
from taskgen.data.published.lm1b import FOLDERS
from taskgen.data.published.prepare import prepare
from taskgen.data.published.splits import Part, tfds_order

pytestmark = pytest.mark.usefixtures("own_cache")


def sentences(count: int, split: str) -> list[str]:
    return [f"{split} sentence {number} , caf\u00e9 ." for number in range(count)]


def write_lm1b(folder: Path, texts: dict[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Writes the text files, half of the sentences in each; returns keys and texts."""
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
