"""The cost of meta-training: reported beside the numbers, once, as far as it is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from synthetic import Candidate, make

import velodrome
from velodrome.results.export.headline import write_headline
from velodrome.results.report.data import collect
from velodrome.results.report.page.contents import notes
from velodrome.results.report.sentences import meta_training_lines
from velodrome.results.report.text import markdown
from velodrome.results.store.combined import open_stores
from velodrome.results.store.provenance import KEY, cost_text
from velodrome.results.store.records import CostRecord, TrainedOptimizer
from velodrome.results.store.store import Store

TINY: CostRecord = {
    "optimizer": {"name": "velo", "version": 1, "identity": {"weights": "77"}},
    "amount": 0.783,
    "unit": "CPU hours",
    "source": "the card of its weights",
    "detail": "650 outer steps",
}
LINE = (
    "VeLO (tiny): meta-training took 0.78 CPU hours (650 outer steps; by the card of its "
    "weights); paid once, and not counted in any number here."
)


def store_of(directory: Path, **fields: Any) -> Store:
    candidate = Candidate(
        **{"name": "velo", "speedups": [0.5, 2.0], "label": "VeLO (tiny)"} | fields
    )
    return make(directory, [candidate], steps=50, seeds=2).store


def add_costs(store: Store, costs: list[CostRecord]) -> None:
    store.take_manifest({**store.manifest, KEY: costs})


def told(store: Store) -> list[str]:
    return meta_training_lines(collect(store))


def test_a_recorded_cost_is_reported_wherever_the_headline_is(tmp_path: Path):
    store = store_of(tmp_path / "a", weights="77")
    add_costs(store, [TINY])
    data = collect(Store.open(store.directory))
    assert told(store) == [LINE]
    assert markdown(data).count(LINE) == 1
    assert sum(LINE in note for note in notes(data, "cost")) == 1
    provenance = dict(data.provenance.itertuples(index=False))
    text = "0.78 CPU hours (650 outer steps; by the card of its weights)"
    assert provenance["meta-training of VeLO (tiny)"] == text
    for path in write_headline(data, tmp_path):
        assert path.read_text().count("0.78 CPU hours") == 1


def test_what_is_not_recorded_is_said_to_be(tmp_path: Path):
    """The cost of other weights under the same name is not this one's."""
    store = store_of(tmp_path / "a", weights="78")
    add_costs(store, [TINY])
    (line,) = told(store)
    assert line.startswith("VeLO (tiny): the cost of meta-training is not recorded;")
    (line,) = told(store_of(tmp_path / "b", weights="77"))
    assert "is not recorded" in line
    # Whether an optimizer without weights is a learned one, nobody knows.
    (line,) = told(store_of(tmp_path / "c"))
    assert line == (
        "The cost of meta-training a learned optimizer is paid once, and not counted in any number "
        "here."
    )


def test_stores_in_one_report_keep_their_costs(tmp_path: Path):
    """Two sets of weights with one label, each with the cost of its own; one of them in both."""
    first = store_of(tmp_path / "a", weights="77")
    add_costs(first, [TINY])
    other: TrainedOptimizer = {"name": "velo:x", "version": 1, "identity": {"weights": "79"}}
    second = store_of(tmp_path / "b", weights="79", name="velo:x")
    add_costs(second, [{**TINY, "optimizer": other, "amount": 4_000, "unit": "TPU-months"}, TINY])
    both = open_stores([first.directory, second.directory])
    assert len(both.manifest.get(KEY, [])) == 2
    costs = collect(both).context.meta_training
    assert costs["VeLO (tiny) [velo]"].startswith("0.78 CPU hours")
    assert costs["VeLO (tiny) [velo:x]"].startswith("4,000 TPU-months")


def test_exported_tables_say_it(tmp_path: Path):
    store = store_of(tmp_path / "a", weights="77")
    add_costs(store, [TINY])
    velodrome.export(store.directory, tmp_path / "out", parts=("tables",), formats=("parquet",))
    metadata = pq.read_schema(tmp_path / "out" / "headline.parquet").metadata or {}
    assert json.loads(metadata[b"velodrome"])[KEY] == [TINY]


@pytest.mark.parametrize(
    ("amount", "text"), [(0.783, "0.78"), (4000, "4,000"), (134.6, "130"), (1e-3, "0.001")]
)
def test_amounts_have_two_digits(amount: float, text: str):
    cost: CostRecord = {**TINY, "amount": amount, "unit": "hours", "source": "me", "detail": ""}
    assert cost_text(cost) == f"{text} hours (by me)"
