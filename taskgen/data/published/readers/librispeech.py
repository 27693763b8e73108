"""LibriSpeech's recordings: folders of FLAC files, with a file of transcripts for each chapter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError
from velodrome.foundation.extras import optional
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader
from velodrome.taskgen.data.published.readers.tokens import Encode
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.ragged import offsets_of

FOLDERS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "heldout": ("dev-clean", "dev-other"),
}
RATE = 16_000
MOST_SAMPLES, MOST_CHARACTERS = 320_000, 256
"""Recordings that are longer, or have more characters of text, are left out, as in the workload."""

_THREADS = 8  # decoding does not hold Python's lock


@dataclass(frozen=True)
class _Utterance:
    path: Path
    text: str


def open_librispeech(info: DatasetInfo, directory: Path, *, encode: Encode) -> Reader | None:
    """Read the FLAC files below ``train-clean-100`` and so on, in the order of their names.

    Raises:
      DataError: Folders, recordings or transcripts are missing, or cannot be read.
    """
    root = directory / "LibriSpeech" if (directory / "LibriSpeech").is_dir() else directory
    if not any((root / name).is_dir() for names in FOLDERS.values() for name in names):
        return None
    sound = optional("soundfile", extra="mlcommons", needed_by="FLAC files")
    splits, kept = {}, {}
    for split, names in FOLDERS.items():
        spoken = [utterance for name in names for utterance in _utterances(root / name)]
        expected = RECIPES[info.name].counts[split]
        if len(spoken) != expected:
            raise DataError(
                f"the folders {', '.join(names)} of LibriSpeech have {expected:,} transcripts, but "
                f"those in {root} have {len(spoken):,}. Give the whole data set."
            )
        with ThreadPoolExecutor(_THREADS) as pool:
            lengths = list(pool.map(lambda one: _length(sound, one.path), spoken))
        short = [
            utterance
            for utterance, length in zip(spoken, lengths, strict=True)
            if length <= MOST_SAMPLES and len(utterance.text) <= MOST_CHARACTERS
        ]
        kept[split] = [utterance.path.stem for utterance in short]
        splits[split] = _split(sound, short, encode)
    return Reader(f"FLAC files ({root})", splits, notes={"recordings": content_hash(kept)})


def _utterances(folder: Path) -> Iterator[_Utterance]:
    """Yield the recordings of a folder of speakers, by the names of their files."""
    for transcripts in sorted(folder.glob("*/*/*.trans.txt")):
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            path = transcripts.with_name(f"{name}.flac")
            if not path.is_file():
                raise DataError(
                    f"{transcripts} has a text of {path.name}, but there is no such file."
                )
            yield _Utterance(path, text.strip())


def _length(sound: Any, path: Path) -> int:
    """Return the samples of a recording, from its header."""
    try:
        facts = sound.info(str(path))
    except sound.LibsndfileError as error:
        raise DataError(f"{path} is damaged ({error}). Fetch it again.") from error
    if (facts.samplerate, facts.channels) != (RATE, 1):
        raise DataError(
            f"{path} has {facts.samplerate} samples a second in {facts.channels} channels, not "
            f"{RATE} in one: it is no recording of LibriSpeech."
        )
    return facts.frames


def _split(sound: Any, utterances: Sequence[_Utterance], encode: Encode) -> SplitReader:
    def decode(utterance: _Utterance) -> np.ndarray:
        try:
            return sound.read(str(utterance.path), dtype="int16")[0]
        except sound.LibsndfileError as error:
            raise DataError(f"{utterance.path} is damaged ({error}). Fetch it again.") from error

    def read(start: int, stop: int) -> Arrays:
        chosen = utterances[start:stop]
        with ThreadPoolExecutor(_THREADS) as pool:
            audio = list(pool.map(decode, chosen))
        label = [encode(utterance.text.encode()) for utterance in chosen]
        for utterance, tokens in zip(chosen, label, strict=True):
            if not tokens.all():
                raise DataError(
                    f"the vocabulary has no piece for a letter of {utterance.text!r}, the text of "
                    f"{utterance.path.name}: make it of LibriSpeech's transcripts."
                )
        return {
            "audio": np.concatenate(audio),
            "audio_offsets": offsets_of(map(len, audio)),
            "label": np.concatenate(label),
            "label_offsets": offsets_of(map(len, label)),
        }

    return SplitReader(len(utterances), read)
