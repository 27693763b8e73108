"""Kinds of data beside images and text: their facts, what tasks see, and the schema of batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.foundation.errors import DataError, SpecError
from velodrome.taskgen.data import resident
from velodrome.taskgen.data.info import KINDS, Dataset, DatasetInfo, kind_of
from velodrome.taskgen.data.madeup import made_up_batch
from velodrome.taskgen.data.source import open_view
from velodrome.taskgen.data.variation import NONE, Variation
from velodrome.taskgen.data.verify import verify_facts
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.views import (
    AudioView,
    GraphView,
    HashedTableView,
    ImageView,
    PairView,
    RegressionView,
    TableView,
    TextView,
    View,
)

Arrays = dict[str, np.ndarray]
ints = np.int32

#: Examples by hand; the third of each ragged kind is longer than its view allows.
ARRAYS: dict[str, Arrays] = {
    "regression": {
        "row": np.arange(8, dtype=np.float32).reshape(4, 2),
        "target": np.array([[0.5], [1], [-2], [3]], np.float32),
    },
    "hashed_table": {
        "row": np.arange(8, dtype=np.float32).reshape(4, 2),
        "category": np.array([[0, 5, 9], [1, 2, 3], [7, 8, 9], [4, 4, 4]], ints),
        "label": np.array([0, 1, 1, 0], ints),
    },
    "pair": {
        "source": np.array([5, 6, 7, 8, 9, 1, 2], np.uint8),
        "source_offsets": np.array([0, 2, 3, 7]),
        "target": np.array([1, 2, 3, 4], np.uint8),
        "target_offsets": np.array([0, 1, 3, 4]),
    },
    "audio": {
        "audio": np.array([16384, -32768, 1, 2, 3, 4, 5, 6, 7], np.int16),
        "audio_offsets": np.array([0, 2, 5, 9]),
        "label": np.array([3, 1, 2, 4], np.uint8),
        "label_offsets": np.array([0, 1, 3, 4]),
    },
    "graph": {
        "node": np.arange(7, dtype=np.float32)[:, None],
        "node_offsets": np.array([0, 2, 3, 7]),
        "edge": np.ones((4, 1), np.float32),
        "sender": np.array([0, 1, 0, 3], ints),
        "receiver": np.array([1, 0, 0, 2], ints),
        "edge_offsets": np.array([0, 2, 3, 4]),
        "label": np.array([[1, 0], [0, 1], [1, 1]], np.float32),
        "weight": np.array([[1, 1], [0, 1], [1, 1]], np.float32),
    },
}
FACTS: dict[str, dict[str, Any]] = {
    "regression": {"kind": "table", "shape": (2,), "targets": 1, "dtype": "float32"},
    "hashed_table": {"shape": (2, 3), "num_classes": 2, "vocab_size": 10, "dtype": "float32"},
    "pair": {"vocab_size": 10},
    "audio": {"vocab_size": 5, "dtype": "int16"},
    "graph": {"shape": (1, 1), "num_classes": 2, "dtype": "float32"},
}
VIEWS: dict[str, View] = {
    "regression": RegressionView(2, 1),
    "hashed_table": HashedTableView(2, 3, 6),
    "pair": PairView(3, 3, 10),
    "audio": AudioView(3, 0, 2, 5),
    "graph": GraphView(3, 2, 1, 1, 2),
}


def dataset_of(form: str, **changes: Any) -> Dataset:
    facts = {"kind": form, **FACTS[form], **changes}
    info = DatasetInfo(name="toy", licence="", origin="", provenance="stand-in", **facts)
    return Dataset(info, lambda split: ARRAYS[form])


#: The batch of the examples 1 and 0, by hand.
BATCHES: dict[str, Arrays] = {
    "regression": {"row": np.array([[2, 3], [0, 1]]), "target": np.array([[1], [0.5]])},
    "hashed_table": {
        "row": np.array([[2, 3], [0, 1]]),
        "category": np.array([[1, 2, 3], [0, 5, 3]]),
        "label": np.array([1, 0]),
    },
    "pair": {
        "source": np.array([[7, 0, 0], [5, 6, 0]]),
        "target": np.array([[2, 3, 0], [1, 0, 0]]),
    },
    "audio": {
        "audio": np.array([[1, 2, 3], [16384, -32768, 0]]) / 32768,
        "audio_padding": np.array([[0, 0, 0], [0, 0, 1]]),
        "label": np.array([[1, 2], [3, 0]]),
        "label_padding": np.array([[0, 0], [0, 1]]),
    },
    "graph": {
        "node": np.array([[[2], [0], [0]], [[0], [1], [0]]]),
        "edge": np.array([[[1], [0]], [[1], [1]]]),
        "sender": np.array([[0, 0], [0, 1]]),
        "receiver": np.array([[0, 0], [1, 0]]),
        "node_mask": np.array([[1, 0, 0], [1, 1, 0]]),
        "edge_mask": np.array([[1, 0], [1, 1]]),
        "label": np.array([[0, 1], [1, 0]]),
        "weight": np.array([[0, 1], [1, 1]]),
    },
}


@pytest.mark.parametrize("form", VIEWS)
def test_batches_are_what_the_schema_declares(form: str, monkeypatch: pytest.MonkeyPatch):
    for limit in ("1000000000", "0"):  # on the device, and from the host
        monkeypatch.setenv(resident.VARIABLE, limit)
        source = open_view(dataset_of(form), VIEWS[form], "train")
        assert source.resident is (limit != "0")
        assert source.size == (4 if "row" in ARRAYS[form] else 2)
        arrays, places = source.block(np.array([1, 0], ints))
        batch = jax.jit(lambda a, i, source=source: source.gather(a, i, None, augment=False))(
            arrays, places
        )
        assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
            name: (shape.shape, shape.dtype) for name, shape in batch_shapes(VIEWS[form], 2).items()
        }
        for name, expected in BATCHES[form].items():
            np.testing.assert_array_equal(batch[name], expected.astype(batch[name].dtype), name)


@pytest.mark.parametrize("form", VIEWS)
def test_the_memory_of_the_arrays_is_what_they_say(form: str):
    source = open_view(dataset_of(form), VIEWS[form], "train")
    held = sum(array.nbytes for array in source.view.whole().values())
    assert source.view.nbytes == held
    info = dataset_of(form, split_sizes={"train": source.size}).info
    predicted = kind_of(info.kind).nbytes(info, VIEWS[form], NONE)
    assert 0.9 * held <= predicted <= 1.2 * held


def put(name: str, index: Any, value: float) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        changed = arrays[name].copy()
        changed[index] = value
        return {**arrays, name: changed}

    return change


WRONG: dict[str, tuple[str, Callable[[Arrays], Arrays], str]] = {
    "target": ("regression", put("target", 2, np.nan), "not finite among its targets, at 2"),
    "targets": (
        "regression",
        lambda a: {**a, "target": a["target"][:, 0]},
        "has targets float32[4], but float32[N, 1] is declared",
    ),
    "category": ("hashed_table", put("category", (1, 2), 10), "has 10 among its categories, at 1"),
    "categories": (
        "hashed_table",
        lambda a: {**a, "category": a["category"][:, :2]},
        "has categories that are int32 of the shape [4, 2], not integers of the shape [N, 3]",
    ),
    "token": ("pair", put("target", 3, 10), "has 10 among its target tokens, at 3"),
    "pairs": (
        "pair",
        lambda a: {**a, "target_offsets": np.array([0, 1, 4])},
        "has 3 sources, but 2 targets",
    ),
    "blank": ("audio", put("label", 2, 0), "has the label 0, which is padding, at 2"),
    "samples": (
        "audio",
        lambda a: {**a, "audio": a["audio"] / 2},
        "has samples float64[9], not int16[N]",
    ),
    "sender": ("graph", put("sender", 2, 1), "has an edge, number 2, whose sender is no node"),
    "answer": ("graph", put("label", (1, 0), 0.5), "has a label in graph 1 that is neither 0 nor"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_data_are_refused_and_named(what: str):
    form, change, message = WRONG[what]
    info = dataset_of(form).info
    verify_facts(info, "train", ARRAYS[form])
    with pytest.raises(DataError, match=re.escape(message)):
        verify_facts(info, "train", change(ARRAYS[form]))


@pytest.mark.parametrize("form", FACTS)
def test_facts_that_a_kind_lacks_are_named(form: str):
    with pytest.raises(DataError, match="give kind .* with .*[.] Got kind="):
        dataset_of(form, dtype="uint8", vocab_size=0)


def test_what_does_not_fit_is_an_error_that_says_so():
    with pytest.raises(DataError, match="no example of the train split of 'toy' has at most 0 no"):
        open_view(dataset_of("graph"), GraphView(0, 2, 1, 1, 2), "train")
    with pytest.raises(SpecError, match="vocab_size: got 9, .*at least 10"):
        open_view(dataset_of("pair"), PairView(3, 3, 9), "train")
    with pytest.raises(SpecError, match=r"data.shift: got 1, .*graphs"):
        open_view(dataset_of("graph"), VIEWS["graph"], "train", Variation(shift=1))


@pytest.mark.parametrize(
    "view",
    [ImageView(5, 3, 7), TextView(6, 20), TableView(4, 3), *VIEWS.values()],
    ids=lambda view: type(view).__name__,
)
def test_made_up_batches_are_what_the_schema_declares(view: View):
    batch, schema = made_up_batch(view, 3), view.schema()
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        name: (shape.shape, shape.dtype) for name, shape in batch_shapes(view, 3).items()
    }
    for name, field in schema.items():
        assert not field.below or batch[name].max() < field.below
    assert set(view.input_names) <= set(schema)


def test_every_kind_says_what_it_needs():
    for name in KINDS:
        kind = kind_of(name)
        assert kind.facts and kind.noun and callable(kind.verify)


def test_the_usual_losses_ignore_what_is_padding():
    import pkgutil

    def loss(view: View, outputs: Any, batch: dict[str, Any]) -> float:
        total, count = pkgutil.resolve_name(view.objective)(outputs, batch, view)["loss"]
        return float(total / count)

    batch = {"label": jnp.array([[1.0, jnp.nan]]), "weight": jnp.array([[1.0, 0.0]])}
    logits = jnp.array([[0.0, 5.0]])
    assert loss(VIEWS["graph"], logits, batch) == pytest.approx(np.log(2))
    assert loss(VIEWS["hashed_table"], jnp.array([[100.0]]), {"label": jnp.array([0])}) == 100
    target = jnp.array([[3, 1, 0]])
    scores = jax.nn.one_hot(jnp.array([[3, 3, 3]]), 10) * 1e3
    assert loss(VIEWS["pair"], scores, {"target": target}) == pytest.approx(500)
    assert loss(VIEWS["regression"], jnp.array([[2.0]]), {"target": jnp.array([[5.0]])}) == 9
    # One frame, one label: its probability is the loss. A frame of padding changes nothing.
    scores = jnp.log(jnp.array([[[0.5, 0.1, 0.1, 0.2, 0.1], [0.2] * 5]]))
    labels = {"label": jnp.array([[3, 0]]), "label_padding": jnp.array([[0.0, 1.0]])}
    found = loss(VIEWS["audio"], (scores, jnp.array([[0.0, 1.0]])), labels)
    assert found == pytest.approx(-np.log(0.2), rel=1e-3)
