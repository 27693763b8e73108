"""LibriSpeech from FLAC files, with a vocabulary: order, what is left out, and messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tinydata import replace_facts, shrink

import velodrome
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.readers import librispeech
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import AudioView

soundfile = pytest.importorskip("soundfile")  # these two are of the extra `mlcommons`
sentencepiece = pytest.importorskip("sentencepiece")

pytestmark = pytest.mark.usefixtures("own_cache")

TEXTS = (
    "THE CAT SAT",
    "A DOG RAN TO THE CAT",
    "RAN",
    "THE DOG SAT ON A MAT",
    "A MAT",
    "TO THE DOG",
)
CHAPTERS = {
    "train-clean-100/19/198": TEXTS[:2],
    "train-clean-360/7/8": TEXTS[2:3],
    "train-other-500/5/6": TEXTS[3:4],
    "dev-clean/84/121": TEXTS[4:5],
    "dev-other/1/2": TEXTS[5:],
}


def write_speech(folder: Path, *, rate: int = 16_000) -> dict[str, np.ndarray]:
    """Write six recordings of noise with their texts, and return them by name."""
    made = {}
    for chapter, texts in CHAPTERS.items():
        _, speaker, number = chapter.split("/")
        place = folder / "LibriSpeech" / chapter
        place.mkdir(parents=True)
        lines = []
        for at, text in enumerate(texts):
            name = f"{speaker}-{number}-{at:04d}"
            samples = np.random.Philox(key=len(made)).random_raw(1_000 + 100 * len(made))
            made[name] = (samples % 2**12).astype(np.int16) - np.int16(2**11)
            soundfile.write(place / f"{name}.flac", made[name], rate, subtype="PCM_16")
            lines.append(f"{name} {text}\n")
        (place / f"{speaker}-{number}.trans.txt").write_text("".join(lines))
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "librispeech.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(TEXTS),
            model_writer=file,
            vocab_size=22,
            model_type="unigram",
            character_coverage=1.0,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            minloglevel=3,
        )
    return path


def make_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "librispeech", counts={"train": 4, "heldout": 2})
    replace_facts(monkeypatch, "librispeech", vocab_size=22)


def test_recordings_and_texts_are_kept_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
):
    make_tiny(monkeypatch)
    made = list(write_speech(tmp_path).values())
    monkeypatch.setattr(librispeech, "MOST_CHARACTERS", len(TEXTS[0]))  # the second is longer
    prepare("librispeech", source=tmp_path, vocabulary=model)
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(model))
    # The texts of 20 characters are left out, and the others are in the order of the folders.
    for split, kept in (("train", (0, 2)), ("heldout", (4, 5))):
        arrays = datasets.get("librispeech").load(split)
        assert arrays["audio"].dtype == np.int16
        for place, number in enumerate(kept):
            spoken, text = (
                arrays[name][slice(*arrays[f"{name}_offsets"][place : place + 2])]
                for name in ("audio", "label")
            )
            np.testing.assert_array_equal(spoken, made[number])
            assert text.tolist() == [*processor.EncodeAsIds(TEXTS[number]), 2]
    config = {"num_blocks": 1, "num_heads": 1, "audio_length": 2_000, "label_length": 20}
    spec = TaskSpec("conformer", config, DataSpec("librispeech"), 2)
    assert spec.view == AudioView(2_000, 0, 20, 22, separator=0)  # words are not counted
    batch = velodrome.open_source(spec, "train").batch(0, 0, 2)
    assert float(np.abs(batch["audio"]).max()) <= 2**11 / 2**15
    assert sorted((1 - batch["audio_padding"]).sum(axis=1)) == [1_000, 1_200]


def test_what_is_missing_or_damaged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
):
    make_tiny(monkeypatch)
    with pytest.raises(DataError, match="has not the files of librispeech. What to do: fetch"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
    write_speech(tmp_path)
    last = tmp_path / "LibriSpeech/train-other-500/5/6/5-6-0000.flac"
    content = last.read_bytes()
    last.write_bytes(b"fLaC")
    with pytest.raises(DataError, match=r"5-6-0000\.flac is damaged"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
    last.unlink()
    with pytest.raises(DataError, match=r"has a text of 5-6-0000\.flac, but there is no such file"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
    soundfile.write(last, np.zeros(900, np.int16), 8_000)
    with pytest.raises(DataError, match="has 8000 samples a second in 1 channels"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
    last.write_bytes(content)
    transcripts = last.with_name("5-6.trans.txt")
    transcripts.write_text("5-6-0000 ZEBRA\n")
    with pytest.raises(DataError, match="has no piece for a letter of 'ZEBRA'"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
    transcripts.unlink()
    with pytest.raises(DataError, match="have 4 transcripts, but those in .* have 3"):
        prepare("librispeech", source=tmp_path, vocabulary=model)
