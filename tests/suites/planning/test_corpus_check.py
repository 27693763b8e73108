"""Corpus metrics that cannot be computed are refused before anything is trained."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import velodrome
from velodrome.foundation.errors import DataError, PlanError
from velodrome.suites.planning.corpus_check import check_corpus_metrics, has_corpus_metrics
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

MLP = TaskSpec("mlp", {"hidden_size": 8, "image_size": 4}, DataSpec("digits"), 8)
INSIDE = TaskSpec("es_wrapped", {}, DataSpec("digits"), 8)
GRAPHS = TaskSpec("gnn", {"rounds": 1}, DataSpec("networkx_atlas"), 4)
VERSES = TaskSpec("wmt_transformer", {"num_layers": 1}, DataSpec("bible_translation"), 4)


def suite(*tasks: TaskSpec, examples: int = 4) -> Suite:
    protocol = Protocol(steps=10, seeds=1, corpus_examples=examples)
    return Suite("mine", tasks, protocol, ("adam",))


def test_which_tasks_have_corpus_metrics():
    found = [has_corpus_metrics(task) for task in (MLP, INSIDE, GRAPHS, VERSES)]
    assert found == [False, False, True, True]


def test_tasks_without_corpus_metrics_are_named(tmp_path: Path):
    assert check_corpus_metrics(suite(MLP, examples=0), asked=True) == []
    assert check_corpus_metrics(suite(MLP), asked=False) == []  # the suite asks, for other tasks
    (note,) = check_corpus_metrics(suite(MLP, GRAPHS), asked=True)
    assert note == "--corpus-examples changes nothing for tasks without such metrics: mlp."
    assert len(check_corpus_metrics(suite(MLP, GRAPHS), asked=True, dry_run=True)) == 2
    with pytest.raises(PlanError, match=r"no task of mine has corpus metrics \(mlp\)"):
        run(suite(MLP, examples=0), tmp_path / "out", corpus_examples=4)
    assert not (tmp_path / "out").exists()
    with pytest.raises(PlanError, match=r"no task of .* has corpus metrics \(mlp\)"):
        velodrome.train(MLP, "adam", steps=10, corpus_examples=4)


def test_a_missing_library_is_said_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)  # as if it were not installed
    with pytest.raises(PlanError, match=r"BLEU needs sacrebleu.*--corpus-examples 0"):
        run(suite(GRAPHS, VERSES), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    missing, seconds = check_corpus_metrics(suite(VERSES), asked=False, dry_run=True)
    assert "BLEU needs sacrebleu" in missing and "leave out the corpus metrics" in seconds


def test_a_missing_vocabulary_is_said_before_a_run():
    pytest.importorskip("sacrebleu")  # of the extra `mlcommons`
    assert check_corpus_metrics(suite(VERSES), asked=True) == []

    def lost(tokens: Iterable[int]) -> str:
        raise DataError(f"the vocabulary of {list(tokens)} is not here.")

    whole = datasets.get("bible_translation")
    info = dataclasses.replace(whole.info, name="lost_verses")
    for decode, said in ((lost, r"vocabulary of \[2\] is not here"), (None, "function `decode`")):
        other = dataclasses.replace(whole, info=info, decode=decode)
        with datasets.temporarily(info.name, other):
            task = dataclasses.replace(VERSES, data=DataSpec(info.name))
            with pytest.raises(PlanError, match=said):
                check_corpus_metrics(suite(task), asked=False)
