"""Stand-ins: the recorded bytes, the shapes and types of the real data, and something to learn."""

from __future__ import annotations

import numpy as np
import pytest

from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.published.facts import INFOS, WORKLOADS
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.standin.catalog import LARGE, stand_in_name
from velodrome.taskgen.data.standin.images import noise
from velodrome.taskgen.data.standin.text import make_text

NAMES = [info.name for info in INFOS]


def test_every_published_data_set_has_one_of_the_same_facts():
    hashes = set()
    for published in (*INFOS, *WORKLOADS):
        name = stand_in_name(published.name)
        # That of fastMRI has small images, and the second one is of its size.
        info = datasets.get(name + LARGE if name + LARGE in datasets else name).info
        assert info.provenance == "stand-in" and published.provenance == "real"
        for fact in ("kind", "shape", "num_classes", "vocab_size", "layout", "example_tokens"):
            assert getattr(info, fact) == getattr(published, fact), published.name
        assert published.name in info.origin.lower()
        hashes.add(info.content_hash)
    assert len(hashes) == len(INFOS) + len(WORKLOADS)


# The others are made by the same code, and compared with their hash when they are first used.
FEW = ("mnist", "cifar10", "food101_64", "imagenet16", "lm1b_bytes", "lm1b_32k", "wikipedia_32k")


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in NAMES]
)
def test_has_the_recorded_bytes(name: str):
    """Golden: a stand-in is the same on every machine and with every version of numpy."""
    dataset = datasets.get(stand_in_name(name))
    info = dataset.info
    for split in ("train", "heldout"):
        arrays = dataset.load(split)
        assert hash_arrays(arrays) == info.split_hashes[split]
        assert all(isinstance(array, np.memmap) for array in arrays.values())
        assert not any(array.flags.writeable for array in arrays.values())
        if info.kind == "image":
            assert arrays["image"].shape == (info.split_sizes[split], *info.shape)
            real_type = np.float32 if info.name.endswith("food101_64") else np.uint8
            assert arrays["image"].dtype == real_type and arrays["label"].dtype == np.int32
            assert set(arrays["label"]) <= set(range(info.num_classes))
            assert arrays["image"].min() >= 0 and 20 < arrays["image"].std() < 60
        else:
            tokens, offsets = arrays["tokens"], arrays["offsets"]
            assert len(offsets) == info.split_sizes[split] + 1 and offsets[-1] == len(tokens)
            lengths = np.diff(offsets)
            assert lengths.min() > 0 and lengths.max() <= info.example_tokens
            # As in real text, no token is padding, end or unknown.
            assert tokens.min() >= 3 and tokens.max() < info.vocab_size


def test_backgrounds_have_a_1_over_f_spectrum():
    """The power falls as the square of the frequency, within the range of the octaves."""
    field = noise(256, 3, 30, "test").astype(np.float64)
    assert abs(field.mean()) < 10 and 20 < field.std() < 40
    for channel in range(3):
        power = np.abs(np.fft.fft2(field[..., channel] - field[..., channel].mean())) ** 2
        frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256) * 256] * 2))
        bands = [(8, 16), (16, 32), (32, 64)]
        mean = [power[(frequency >= low) & (frequency < high)].mean() for low, high in bands]
        slopes = np.diff(np.log2(mean))
        assert np.all((slopes > -3) & (slopes < -1)), slopes
    # Colours go together.
    red, green = field[..., 0].ravel(), field[..., 1].ravel()
    assert ((red - red.mean()) * (green - green.mean())).mean() > 0.5 * red.std() * green.std()


def test_classes_differ_by_their_prototypes():
    """The nearest class mean of the training images predicts many held-out labels."""
    arrays = {split: datasets.get("stand-in:cifar10").load(split) for split in ("train", "heldout")}
    train, heldout = arrays["train"], arrays["heldout"]
    flat = np.asarray(train["image"], np.float32).reshape(-1, 3072)
    means = np.stack([flat[train["label"] == c].mean(0) for c in range(10)])
    seen = np.asarray(heldout["image"], np.float32).reshape(-1, 3072)
    distance = (means**2).sum(1) - 2 * seen @ means.T
    accuracy = (distance.argmin(1) == heldout["label"]).mean()
    assert 0.3 < accuracy < 0.98  # learnable, and not all at once


def test_text_is_zipfian_and_predictable():
    made = make_text("test", {"train": 2000}, words=500, lengths=(20, 30), spelled=False, keep=100)[
        "train"
    ]
    tokens, offsets = made["tokens"].astype(np.int64), made["offsets"]
    counts = np.bincount(tokens - 3, minlength=500)
    # Frequency falls about as one over the rank.
    assert 2 < counts[:10].mean() / counts[40:60].mean() < 20
    inside = np.ones(len(tokens), bool)
    inside[offsets[1:-1]] = False  # first tokens follow nothing
    pairs = np.zeros((500, 500))
    np.add.at(pairs, (tokens[:-1][inside[1:]] - 3, tokens[1:][inside[1:]] - 3), 1)
    share = pairs / np.maximum(pairs.sum(1, keepdims=True), 1)
    conditional = -(pairs * np.log(np.where(share > 0, share, 1))).sum() / pairs.sum()
    frequency = counts / counts.sum()
    unconditional = -(frequency * np.log(np.where(frequency > 0, frequency, 1))).sum()
    assert conditional < unconditional - 1  # a word says much about the next one


def test_spelled_text_looks_like_text():
    arrays = datasets.get("stand-in:lm1b_bytes").load("heldout")
    first = bytes(arrays["tokens"][: arrays["offsets"][1]] - 3).decode("ascii")
    assert first.endswith(".") and set(first) <= set("abcdefghijklmnopqrstuvwxyz .")
    words = first.rstrip(".").split(" ")
    assert 4 <= len(words) <= 32 and all(words)
