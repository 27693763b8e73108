"""The data set ``synthetic_tones``: recordings for speech recognition, of no speech at all."""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.standin.tones import TOKEN_NAMES, VOCAB_SIZE, make_tones
from velodrome.taskgen.data.stored import stored_dataset

INFO = DatasetInfo(
    name="synthetic_tones",
    kind="audio",
    licence="none needed: generated",
    origin="generated: words made of tones, in the order of a small grammar; not real data",
    provenance="stand-in",
    vocab_size=VOCAB_SIZE,
    dtype="int16",
    split_sizes={"train": 2_048, "heldout": 512},
    split_hashes={
        "train": "82956b91a771042b4d25ece6ac37b95a158a3a807ee99e68557653f287b79a8d",
        "heldout": "9b4152b706db8030855d5a896070244a58816545ac1c4734f676d6d76c56cb84",
    },
    class_names=TOKEN_NAMES,
)


def build() -> dict[str, Arrays]:
    """Make the recordings of both splits, one after the other in one array."""
    made = {}
    for split, recordings in make_tones(INFO.name, dict(INFO.split_sizes)).items():
        sounds, texts = zip(*recordings, strict=True)
        made[split] = {
            "audio": np.concatenate(sounds),
            "audio_offsets": offsets_of(map(len, sounds)),
            "label": np.concatenate(texts).astype(np.uint8),
            "label_offsets": offsets_of(map(len, texts)),
        }
    return made


SYNTHETIC_TONES = stored_dataset(INFO, build, distribution="numpy", version="2.4.6")
