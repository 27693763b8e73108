"""Published text in its true formats, tiny: which tokens of which texts are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinydata import build_tfds, loaded, pack, sentences, shrink, write_lm1b

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published import prepare as preparing
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.readers import tokens
from velodrome.taskgen.data.published.readers.lm1b import ROOT
from velodrome.taskgen.data.published.splits import Part, tfds_order
from velodrome.taskgen.data.registry import datasets

pytestmark = pytest.mark.usefixtures("own_cache")


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


def test_lm1b_from_its_files_and_from_tfds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Any
):
    shrink(monkeypatch, "lm1b_bytes", counts={"train": 100, "test": 7})
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
    (tmp_path / "raw").rename(tmp_path / ROOT)
    pack(tmp_path / ROOT, tmp_path / "packed" / f"{ROOT}.tar.gz")
    prepare("lm1b_bytes", source=tmp_path / "packed")
    assert datasets.get("lm1b_bytes").info.split_hashes == info.split_hashes


def test_the_whole_lm1b_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As many sentences as are published, in text files and in a folder of TFDS."""
    keyed = write_lm1b(tmp_path / "raw", {"train": sentences(9, "a"), "test": sentences(4, "b")})
    with pytest.raises(DataError, match=r"has 30,301,028 sentences, but the files in .* have 9\."):
        prepare("lm1b_bytes", source=tmp_path / "raw")
    tfds_text("lm1b", tmp_path / "tfds", keyed, version="1.1.0")
    with pytest.raises(DataError, match="has 30,301,028 examples, but .* has 9"):
        prepare("lm1b_bytes", source=tmp_path / "tfds")
    shrink(monkeypatch, "lm1b_bytes", counts={"train": 9, "test": 5})
    with pytest.raises(DataError, match="the test split of lm1b_bytes has 5 sentences, .* have 4"):
        prepare("lm1b_bytes", source=tmp_path / "raw")


def test_text_files_that_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "lm1b_bytes", counts={"train": 4, "test": 4})
    write_lm1b(tmp_path, {"train": sentences(4, "a"), "test": sentences(4, "b")})
    file = next(path for path in sorted(tmp_path.rglob("news.en.heldout-*")))
    content = file.read_bytes()
    file.write_bytes(content.replace(b"caf\xc3", b"caf\xff"))
    at = content.index(b"\xc3")
    with pytest.raises(DataError, match=rf"{file.name} is no UTF-8 at byte {at}; it is damaged"):
        prepare("lm1b_bytes", source=tmp_path)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="has 4 sentences, but .* have 2"):
        prepare("lm1b_bytes", source=tmp_path)
    shrink(monkeypatch, "lm1b_bytes", counts={"train": 4, "test": 2})
    prepare("lm1b_bytes", source=tmp_path)  # a file without a line is no damage


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
    shrink(monkeypatch, "lm1b_32k", counts={"train": 50, "test": 4})
    with pytest.raises(DataError, match=r"not the vocabulary of T5: it has 40 pieces"):
        prepare("lm1b_32k", source=tmp_path / "raw", vocabulary=pieces)
    monkeypatch.setattr(tokens, "PIECES", 40)
    record = prepare("lm1b_32k", source=tmp_path / "raw", vocabulary=pieces)
    assert len(record.notes["vocabulary"]) == 64
    found = loaded("lm1b_32k")["train"]
    assert found["tokens"].dtype == np.uint16
    order = tfds_order([key for key, _ in keyed["train"]], "train")[1:]
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(pieces))
    expected = processor.EncodeAsIds(keyed["train"][order[0]][1])  # no end is added
    assert found["tokens"][: found["offsets"][1]].tolist() == expected


def test_another_vocabulary_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No data set is made of two vocabularies, whenever the first preparation stopped."""
    shrink(monkeypatch, "lm1b_32k", counts={"train": 50, "test": 4})
    write_lm1b(tmp_path / "raw", {"train": sentences(50, "train"), "test": sentences(4, "test")})

    def load(model: Path) -> Any:
        number = int(model.name)
        return (lambda text: np.full(3, number, np.uint16)), {"vocabulary": model.name}

    def stop(what: str, done: int, total: int) -> None:
        if what.endswith("heldout"):
            raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "load_pieces", load)
    monkeypatch.chdir(tmp_path)
    for name in ("7", "8"):
        Path(name).write_text(f"the model {name}")
    with pytest.raises(KeyboardInterrupt):
        prepare("lm1b_32k", source=Path("raw"), vocabulary=Path("7"), progress=stop)
    record = prepare("lm1b_32k", source=Path("raw"), vocabulary=Path("8"))
    assert record.notes["vocabulary"] == "8"
    for arrays in loaded("lm1b_32k").values():
        assert set(arrays["tokens"].tolist()) == {8}
    # A folder of the same name elsewhere is another source.
    assert record.form == f"text files ({tmp_path / 'raw'})"


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
