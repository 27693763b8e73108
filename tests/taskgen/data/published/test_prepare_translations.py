"""WMT from Parquet files, with a vocabulary: order, tokens, resuming, and messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tinydata import replace_facts

import velodrome
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published import writer
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.prepared import vocabulary_path
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import PairView

sentencepiece = pytest.importorskip("sentencepiece")  # of the extra `mlcommons`

pytestmark = pytest.mark.usefixtures("own_cache")

WORDS = ("haus", "baum", "wagen", "house", "tree", "car", "und", "and", "rot", "red")
PAIRS = [
    {
        "de": f"{WORDS[i % 3]} und {WORDS[i % 2]}",
        "en": f"{WORDS[3 + i % 3]} and {WORDS[3 + i % 2]} {i}",
    }
    for i in range(25)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the ids of the workload's, of 30 pieces."""
    path = tmp_path_factory.mktemp("model") / "wmt.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(text for pair in PAIRS for text in pair.values()),
            model_writer=file,
            vocab_size=30,
            model_type="unigram",
            character_coverage=1.0,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            minloglevel=3,
        )
    return path


def write_pairs(folder: Path) -> None:
    """Write 20 training pairs in two files, one in groups of 4, and 5 of validation."""
    for name, pairs, rows in (
        ("wmt17/de-en/train-00000-of-00002", PAIRS[:13], 4),
        ("wmt17/de-en/train-00001-of-00002", PAIRS[13:20], 100),
        ("wmt14/de-en/validation-00000-of-00001", PAIRS[20:], 100),
        ("wmt14/de-en/test-00000-of-00001", PAIRS[:1], 100),
    ):
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"translation": pairs}), path, row_group_size=rows)


def make_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_facts(
        monkeypatch, "wmt17_de_en", vocab_size=30, split_sizes={"train": 20, "heldout": 5}
    )


def test_pairs_become_tokens_with_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
):
    make_tiny(monkeypatch)
    write_pairs(tmp_path)
    monkeypatch.setattr(writer, "CHUNK", 6)  # so that chunks are joined, and cross groups

    def stop(what: str, done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model, progress=stop)
    record = prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
    assert len(record.notes["vocabulary"]) == 64
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(model))
    for split, pairs in (("train", PAIRS[:20]), ("heldout", PAIRS[20:])):
        arrays = datasets.get("wmt17_de_en").load(split)
        assert arrays["source"].dtype == np.uint16
        for side, language in (("source", "de"), ("target", "en")):
            offsets = arrays[f"{side}_offsets"]
            for number, pair in enumerate(pairs):
                tokens = arrays[side][offsets[number] : offsets[number + 1]].tolist()
                assert tokens == [*processor.EncodeAsIds(pair[language]), 2]
    # Tokens are text again: up to the first end, without padding.
    decode = datasets.get("wmt17_de_en").decode
    assert decode is not None
    spelled = processor.EncodeAsIds(PAIRS[0]["en"])
    assert decode([0, *spelled, 0, 2, *spelled]) == PAIRS[0]["en"]
    vocabulary_path("wmt17_de_en").unlink()
    with pytest.raises(DataError, match="prepare the data set again"):
        decode(spelled)
    config = {"num_layers": 1, "num_heads": 1, "source_length": 30, "target_length": 30}
    spec = TaskSpec("wmt_transformer", config, DataSpec("wmt17_de_en"), 4)
    assert spec.view == PairView(30, 30, 30)
    assert velodrome.open_source(spec, "train").batch(0, 0, 4)["target"].shape == (4, 30)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path):
    with pytest.raises(DataError, match="needs a vocabulary: give its sentencepiece.model"):
        prepare("wmt17_de_en", source=tmp_path)
    with pytest.raises(DataError, match=r"has 30 pieces and the ids \(0, 1, 2\).*needs 32,000"):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
    make_tiny(monkeypatch)
    with pytest.raises(DataError, match="has no folder wmt17_translate/de-en .* What to do: fetch"):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
    write_pairs(tmp_path)
    last = tmp_path / "wmt17/de-en/train-00001-of-00002.parquet"
    content = last.read_bytes()
    last.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"00002\.parquet is damaged"):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
    last.unlink()
    with pytest.raises(DataError, match="has 20 pairs, but the files in .* have 13"):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
    last.write_bytes(content)
    pq.write_table(pa.table({"text": ["a"] * 7}), last)
    with pytest.raises(DataError, match="has no column 'translation'"):
        prepare("wmt17_de_en", source=tmp_path, vocabulary=model)
