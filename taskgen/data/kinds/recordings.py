"""Recordings, as samples or as features of frames, with their text as tokens."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import (
    SplitError,
    check_count,
    check_floats,
    check_integers,
    check_offsets,
)
from velodrome.taskgen.data.ragged import fitting, inside, padded
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import AudioView


class Recordings(Kind[AudioView]):
    """Arrays: audio i16[M] or f32[M,F], audio_offsets i64[N+1], label int[K], label_offsets.

    Tokens are from 1 on: 0 is padding, and CTC's blank. If `DatasetInfo.class_names` has the name
    of each, the one that is a space stands between words.
    """

    facts = (
        "vocab_size, and dtype 'int16' for samples or the number of features as its shape and "
        "dtype 'float32'"
    )
    noun = "recordings"

    def fits(self, info: DatasetInfo) -> bool:
        samples = not info.shape and info.dtype == "int16"
        features = len(info.shape) == 1 and info.dtype == "float32"
        return (samples or features) and info.vocab_size > 1

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("audio", "audio_offsets", "label", "label_offsets")

    def unit(self, info: DatasetInfo) -> str:
        return "recordings"

    def describe(self, info: DatasetInfo) -> str:
        what = f"{info.shape[0]} features a frame" if info.shape else "samples"
        return f"recordings as {what}, with {info.vocab_size:,} tokens"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        audio, label = arrays["audio"], arrays["label"]
        if info.shape:
            check_floats("frames", audio, info.shape)
        elif audio.dtype != np.int16 or audio.ndim != 1:
            raise SplitError(f"has samples {audio.dtype}{list(audio.shape)}, not int16[N]")
        lengths = check_offsets("frames", arrays["audio_offsets"], len(audio))
        check_integers("labels", label, info.vocab_size)
        texts = check_offsets("labels", arrays["label_offsets"], len(label))
        for at in np.flatnonzero(label == 0)[:1]:
            raise SplitError(f"has the label 0, which is padding, at {at}")
        check_count("recordings", len(lengths), "texts", len(texts))
        return len(lengths)

    def view(self, config: object, info: DatasetInfo) -> AudioView:
        names = ("audio_length", "label_length")
        length, labels = (getattr(config, name, None) for name in names)
        if length is None or labels is None:
            raise SpecError(f"config.{names[0]}", None, f"{names[0]} and {names[1]} in the config")
        features = info.shape[0] if info.shape else 0
        vocab_size = getattr(config, "vocab_size", info.vocab_size)
        names = info.class_names
        separator = names.index(" ") if " " in names else 0
        return AudioView(length, features, labels, vocab_size, separator)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: AudioView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        if view.vocab_size < info.vocab_size:
            wanted = f"at least {info.vocab_size}, the tokens of {info.name!r}"
            raise SpecError("vocab_size", view.vocab_size, wanted)
        lengths = {"audio": view.length, "label": view.label_length}
        limits = {name: (raw[f"{name}_offsets"], most) for name, most in lengths.items()}
        found = fitting({"frames": limits["audio"], "labels": limits["label"]}, what)

        def rows(indices: np.ndarray | slice) -> Arrays:
            chosen, made = found[indices], {}
            for name, (offsets, most) in limits.items():
                made[name] = padded(raw[name], offsets, chosen, most)
                made[f"{name}_padding"] = 1 - inside(offsets, chosen, most)
            return made

        frame = raw["audio"].itemsize * (view.features or 1)
        size = view.length * (frame + 1) + view.label_length * (raw["label"].itemsize + 1)
        return SplitView(
            size=len(found),
            nbytes=len(found) * size,
            facts={"layout": "recordings", **lengths},
            key=("recordings", *lengths.values()),
            whole=lambda: rows(slice(None)),
            rows=rows,
        )

    def nbytes(self, info: DatasetInfo, view: AudioView, variation: Variation) -> int:
        frame = 4 * view.features if view.features else 2
        each = view.length * (frame + 1) + view.label_length * 3
        return sum(info.split_sizes.values()) * each

    def options(self, view: AudioView, variation: Variation) -> dict[str, object]:
        scales = {} if view.features else {"audio": 2.0**-15}
        return {**super().options(view, variation), "scales": scales}
