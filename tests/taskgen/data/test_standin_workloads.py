"""Stand-ins for data of MLCommons workloads, mostly in small samples: whole ones take seconds."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from velodrome.taskgen.data.arrays import Arrays, hash_arrays
from velodrome.taskgen.data.info import kind_of
from velodrome.taskgen.data.kspace import measured_columns, seen, to_kspace
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.standin import clicks, phantoms, sentences, tones, utterances
from velodrome.taskgen.data.standin.images import make_images
from velodrome.taskgen.data.standin.molecules import EDGE_CODES, NODE_CODES, make_molecules
from velodrome.taskgen.data.standin.scans import UNITS
from velodrome.taskgen.families.gnn import GNNConfig
from velodrome.taskgen.families.speech import subsampled
from velodrome.taskgen.views import AudioView

SMALL = {"train": 12, "heldout": 4}


def check(name: str, made: dict[str, Arrays], **facts) -> None:
    """See that arrays are of the form that the stand-in ``name`` declares."""
    info = dataclasses.replace(datasets.get(name).info, **facts)
    assert info.provenance == "stand-in"
    for split, count in SMALL.items():
        arrays = made[split]
        assert set(arrays) == set(info.array_names)
        assert kind_of(info.kind).verify(info, arrays) == count


def digest(made: dict[str, Arrays]) -> str:
    return hash_arrays(made["train"])[:12]


def test_sentences_are_translated_word_by_word_with_the_verb_second():
    made = sentences.make_sentences("test", SMALL, 32_000)
    check("stand-in:wmt17_de_en", made)
    assert digest(made) == "f1d08425e221"
    first, second, double = sentences.dictionary("test", 15_998)
    assert len(set(first)) == 15_998 and 0.2 < double.mean() < 0.3
    arrays = made["heldout"]
    for at in range(SMALL["heldout"]):
        source, target = (
            arrays[side][slice(*arrays[f"{side}_offsets"][at : at + 2])].tolist()
            for side in ("source", "target")
        )
        assert source.pop() == target[-1] == sentences.END
        subject, *others, verb = (token - sentences.FIRST for token in source)
        expected = []
        for word in (subject, verb, *others):
            expected += [int(first[word]), *[int(second[word])] * int(double[word])]
        assert target[:-1] == [sentences.FIRST + token for token in expected]
    assert sentences.decode_sentence([0, 7, 30_000, 2, 8]) == "w7 w30000"


def test_molecules_are_connected_and_have_rings_and_unknown_answers():
    made = make_molecules("test", SMALL, 128)
    check("stand-in:ogbg_molpcba", made)
    assert digest(made) == "ac65cc09627a"
    many = make_molecules("test", {"train": 2_000}, 128)["train"]
    atoms, bonds = np.diff(many["node_offsets"]), np.diff(many["edge_offsets"])
    assert 25.5 < atoms.mean() < 26.5 and 55 < bonds.mean() < 57  # of the real ones: 26.0, 56.2
    workload = GNNConfig(max_nodes=384, max_edges=896)
    assert atoms.max() <= workload.max_nodes and bonds.max() <= workload.max_edges
    for name, codes in (("node", NODE_CODES), ("edge", EDGE_CODES)):
        assert np.all(many[name].max(axis=0) < codes) and np.all(many[name] >= 0)
    assert not np.any(many["label"][many["weight"] == 0])
    assert 0.58 < many["weight"].mean() < 0.62
    share = many["label"].sum(axis=0) / many["weight"].sum(axis=0)
    assert share.min() > 0.02 and share.max() < 0.3

    arrays = made["train"]
    for at in range(SMALL["train"]):
        edges = slice(*arrays["edge_offsets"][at : at + 2])
        pairs = list(zip(arrays["sender"][edges].tolist(), arrays["receiver"][edges], strict=True))
        assert len(set(pairs)) == len(pairs)
        assert {(b, a) for a, b in pairs} == set(pairs) and all(a != b for a, b in pairs)
        reached, size = {0}, 0
        while len(reached) > size:
            size = len(reached)
            reached |= {b for a, b in pairs if a in reached}
        node = arrays["node"][slice(*arrays["node_offsets"][at : at + 2])]
        assert size == len(node)
        degrees = Counter(a for a, _ in pairs)
        assert node[:, 2].tolist() == [degrees[atom] for atom in range(size)]
    assert 0.1 < many["node"][:, 8].mean() < 0.5


def test_recordings_fit_the_workload_and_have_frames_for_their_tokens():
    made = utterances.make_utterances("test", SMALL, 1_024)
    check("stand-in:librispeech", made)
    assert digest(made) == "001a31b044dd"
    arrays = made["train"]
    samples, labels = (np.diff(arrays[f"{name}_offsets"]) for name in ("audio", "label"))
    assert samples.max() <= utterances.MOST_SAMPLES and samples.min() > 16_000
    assert samples.max() > utterances.MOST_SAMPLES // 2 and labels.min() >= 2
    assert labels.max() <= 256
    frames = [subsampled(AudioView(int(count), 0, 256, 1_024)) for count in samples]
    assert all(np.array(frames) > 2 * labels)
    assert set(arrays["label"][arrays["label_offsets"][1:] - 1]) == {utterances.END}

    sounds, words = (
        utterances.spelling("test", 1_021),
        utterances.dictionary("test", 1_021),
    )
    assert len(set(sounds)) == len(sounds) == 1_021
    text = arrays["label"][: arrays["label_offsets"][1]].tolist()
    said = utterances.decode_utterance(1_024, text).split()
    known = {
        utterances.decode_utterance(1_024, [utterances.FIRST + piece for piece in word])
        for word in words
    }
    assert len(said) > 1 and set(said) <= known and " " not in "".join(known)
    # The first tone is heard after the silence.
    tone = sounds[text[0] - utterances.FIRST][0]
    heard = arrays["audio"][tones.LONGEST_SILENCE :][:600] * np.hanning(600)
    found = np.abs(np.fft.rfft(heard, 16_000)).argmax()
    assert found == pytest.approx(250 * 1.125**tone, rel=0.03)


def test_phantoms_are_measured_as_photographs_are():
    made = phantoms.make_phantoms("test", SMALL, 64)
    check("stand-in:fastmri_large", made, shape=(64, 64))
    assert digest(made) == "c86f881276a9"
    kept = np.repeat(measured_columns(1, 64, "test", "heldout", "columns"), 4, axis=0)
    grey = made["heldout"]["target"] / UNITS
    np.testing.assert_array_equal(
        made["heldout"]["image"], np.rint(UNITS * seen(to_kspace(grey), kept))
    )
    volumes = made["train"]["volume_max"]
    assert len(set(volumes)) == 2 and len(set(volumes[: phantoms.SLICES])) == 1
    bodies = made["train"]["target"][: phantoms.SLICES] > 0
    assert 0 < (bodies[0] != bodies[1]).sum() < (bodies[0] != bodies[7]).sum()


def test_large_images_have_prototypes_of_cells():
    made = make_images("test", SMALL, shape=(32, 32, 3), classes=10, cell=4)
    check("stand-in:imagenet256", made, shape=(32, 32, 3), num_classes=10)
    assert digest(made) == "d430da3ccd42"
    many = make_images("test", {"train": 2_000}, shape=(16, 16, 3), classes=10, cell=4)["train"]
    flat = many["image"].reshape(2_000, -1).astype(np.float32)
    means = np.stack([flat[many["label"] == label].mean(0) for label in range(10)])
    assert means.std(axis=0).mean() > 3  # classes differ; by chance it would be about 2


def test_there_are_more_clicks_than_the_workload_has_in_a_batch():
    sizes = {"train": 600, "heldout": 4}
    info = datasets.get("stand-in:criteo1tb_large").info
    assert info.split_sizes["train"] > 262_144
    made = clicks.build(sizes)
    assert kind_of(info.kind).verify(info, made["train"]) == 600
    # They begin with the rows of the small stand-in; only what counts as a click may differ.
    small = datasets.get("stand-in:criteo1tb").load("train")
    for name in ("row", "category"):
        np.testing.assert_array_equal(made["train"][name], small[name][:600])


@pytest.mark.long
@pytest.mark.parametrize("name", ["wmt17_de_en", "ogbg_molpcba", "criteo1tb_large"])
def test_has_the_recorded_bytes(name: str):
    """The others take longer to make; they are compared with their hash when they are used."""
    dataset = datasets.get(f"stand-in:{name}")
    for split in ("train", "heldout"):
        assert hash_arrays(dataset.load(split)) == dataset.info.split_hashes[split]
