"""Searches of the hand-made weights' numbers: what they find, keep, and refuse."""

from __future__ import annotations

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

from scripts import remake_weights as remake
from velodrome import cli
from velodrome.foundation.errors import SpecError, StoreError, UnknownNameError, VelodromeError
from velodrome.optimizers.metatrain.config.config import load_config, load_plan
from velodrome.optimizers.metatrain.config.search import (
    EnvelopeConfig,
    LengthsConfig,
    SearchConfig,
    StrategyConfig,
)
from velodrome.optimizers.metatrain.directory import CHECKPOINT, CONFIG, LOG
from velodrome.optimizers.metatrain.loop import metatrain
from velodrome.optimizers.metatrain.search.search import ENVELOPES, search_numbers
from velodrome.optimizers.metatrain.search.searcher import Searcher, pool, searched_weights
from velodrome.optimizers.velo.handmade.numbers import (
    Numbers,
    moved,
    numbers_from,
    numbers_from_card,
    rounded,
)
from velodrome.optimizers.velo.weights.store import load_weights, weights_hash

NUMBERS = {"step": (0.002, 1.0), "small": (5.0, 0.3), "direction/adam_0.9": (1.0, 0.0)}


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    toy = load_plan("search-toy")
    assert isinstance(toy, SearchConfig)
    return dataclasses.replace(
        toy,
        tasks=dataclasses.replace(toy.tasks, per_family=1),
        numbers=NUMBERS,
        lengths=LengthsConfig(low=30, high=60, checked=(60,)),
        envelope=EnvelopeConfig(rates=(0.003, 0.03), lengths=(15, 30, 60, 120)),
        strategy=StrategyConfig(generations=8, population=4, tasks=1, sigma=1.0, average=0.0),
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    return directory, search_numbers(config, directory, report=lambda line: None)


def _records(directory) -> list[dict]:
    """The records of generations, without times."""
    records = [json.loads(line) for line in (directory / LOG).read_text().splitlines()]
    records = [record for record in records if "generation" in record]
    for record in records:
        del record["seconds"], record["cpu_seconds"]
    return records


def _copy(directory, to) -> None:
    for name in (ENVELOPES, "config.json", LOG):
        (to / name).write_text((directory / name).read_text())


@pytest.mark.long
@pytest.mark.slow
def test_a_step_that_is_far_too_small_is_found_to_be_so(whole):
    directory, result = whole
    assert result.finished
    records = _records(directory)
    assert [record["generation"] for record in records] == list(range(8))
    assert max(records[-1]["aims"]) > max(records[0]["aims"])
    found = numbers_from_card(json.loads(result.path.with_suffix(".json").read_text()))
    assert found.step > 2 * NUMBERS["step"][0]
    assert found.direction == {"adam_0.9": 1.0}  # its scale is 0


@pytest.mark.slow
def test_the_card_is_enough_to_make_the_weights_again(whole, config):
    directory, result = whole
    card = json.loads(result.path.with_suffix(".json").read_text())
    assert SearchConfig.from_json(card["training"]["config"]).hash == config.hash
    again = searched_weights(config, numbers_from_card(card))
    saved = load_weights(str(result.path))
    jax.tree.map(np.testing.assert_array_equal, again, saved)
    compute = card["training"]["compute"]
    steps = sum(row["length"] for record in _records(directory) for row in record["tasks"])
    assert compute["inner_steps"] == result.totals.inner_steps == 4 * steps
    assert compute["pairs"] == 16
    checked = card["results"]["training tasks"]
    assert [row["steps"] for row in checked] == [60]
    assert checked[0]["mean_by_family"] == {"mlp": checked[0]["mean"]}


class _Stop(Exception):
    pass


@pytest.mark.long
def test_a_search_that_was_interrupted_finds_the_same_numbers(whole, config, tmp_path):
    directory, result = whole

    def stop(line: str) -> None:
        if line.split()[0] == "2":
            raise _Stop

    with pytest.raises(_Stop):
        search_numbers(config, tmp_path, report=stop)
    assert (tmp_path / "weights.safetensors").is_file()
    with (tmp_path / LOG).open("a") as log:
        log.write('{"generation": 3, "ai')  # as a kill would leave it
    lines: list[str] = []
    resumed = search_numbers(config, tmp_path, report=lines.append)
    assert lines[0] == "resuming at generation 3"
    assert _records(tmp_path) == _records(directory)
    jax.tree.map(np.testing.assert_array_equal, resumed.weights, result.weights)

    other = dataclasses.replace(config, seed=4)
    with pytest.raises(StoreError, match="another config"):
        search_numbers(other, tmp_path, report=lines.append)
    more = dataclasses.replace(config, strategy=dataclasses.replace(config.strategy, generations=9))
    assert search_numbers(more, tmp_path, report=lines.append).totals.steps == 9
    kept = (tmp_path / LOG).read_text()
    with pytest.raises(StoreError, match="9 generations, more than strategy.generations"):
        search_numbers(config, tmp_path, report=lines.append)
    assert (tmp_path / LOG).read_text() == kept


@pytest.mark.slow
def test_time_that_is_up_and_a_new_start(whole, config, tmp_path):
    _copy(whole[0], tmp_path)
    lines: list[str] = []
    result = search_numbers(config, tmp_path, max_seconds=0.0, report=lines.append)
    # It was finished, and its checks are known.
    assert result.finished and lines == ["resuming at generation 8"]
    assert json.loads(result.path.with_suffix(".json").read_text())["results"]["training tasks"]

    other = dataclasses.replace(config, seed=9)
    again = search_numbers(other, tmp_path, resume=False, max_seconds=0.0, report=lines.append)
    assert not again.finished and again.totals.steps == 0
    assert (tmp_path / LOG).read_text() == ""
    assert again.weights.hidden_size == 32  # those of the start
    assert len(lines) == 1


def test_an_evolution_leaves_a_search_alone(toy_config, tmp_path):
    (tmp_path / LOG).write_text('{"generation": 0, "aims": [1.0]}\n')
    with pytest.raises(StoreError, match="is of a search"):
        metatrain(toy_config, tmp_path, report=lambda line: None)
    assert (tmp_path / LOG).read_text()


def test_a_search_leaves_an_evolution_alone(config, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"of an evolution")
    with pytest.raises(StoreError, match="is of an evolution.*--restart"):
        search_numbers(config, tmp_path, report=lambda line: None)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, ".lock"}


def test_an_empty_log_beside_another_config_is_refused(config, tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps(config.to_json()))
    (tmp_path / LOG).write_text("")
    (tmp_path / "weights.safetensors").write_bytes(b"precious")
    other = dataclasses.replace(config, seed=9)
    with pytest.raises(StoreError, match="another config"):
        search_numbers(other, tmp_path, report=lambda line: None)
    assert (tmp_path / "weights.safetensors").read_bytes() == b"precious"


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["x{}", "5", "{}", "without a key", "left out", "twice", '{"generations": "8"}']
)
def test_a_damaged_log_is_refused_and_left_as_it_is(whole, config, tmp_path, damage):
    _copy(whole[0], tmp_path)
    lines = (tmp_path / LOG).read_text().splitlines()
    if damage == "left out":
        del lines[2]
    elif damage == "twice":
        lines.insert(2, lines[1])
    elif damage == "without a key":
        record = json.loads(lines[2])
        del record["inner_steps"]
        lines[2] = json.dumps(record)
    else:
        lines[2] = damage
    text = "".join(f"{line}\n" for line in lines)
    (tmp_path / LOG).write_text(text)
    with pytest.raises(StoreError, match="line 3 is no record of this run"):
        search_numbers(config, tmp_path, report=lambda line: None)
    assert (tmp_path / LOG).read_text() == text


def test_a_log_without_its_config_is_refused(config, tmp_path):
    (tmp_path / LOG).write_text('{"generation": 0, "aims": [1.0]}\n')
    with pytest.raises(StoreError, match="no config of a search.*--restart"):
        search_numbers(config, tmp_path, report=lambda line: None)


def test_without_the_library_it_is_said_how_to_get_it(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(VelodromeError, match=r"velodrome\[search\]"):
        search_numbers(config, tmp_path, report=lambda line: None)


def test_the_command_has_no_workers_for_a_search(tmp_path, capsys):
    words = ["metatrain", "--config", "search-toy", "--out", str(tmp_path), "--workers", "2"]
    assert cli.main(words) == 2
    assert "--workers" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_a_search(whole, config, tmp_path, capsys):
    _copy(whole[0], tmp_path)
    (tmp_path / "search.json").write_text(json.dumps(config.to_json()))
    words = ["metatrain", "--config", str(tmp_path / "search.json"), "--out", str(tmp_path)]
    assert cli.main(words) == 0
    assert "the weights are in" in capsys.readouterr().out
    assert cli.main([*words[:-1], str(tmp_path / "new"), "--max-minutes", "0"]) == 0
    assert (
        "stopped early, after 0 of 8 generations: the same command resumes it"
        in capsys.readouterr().out
    )
    made = load_weights(str(tmp_path / "weights.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, made, whole[1].weights)


def test_families_take_turns_and_slow_ones_have_shorter_runs(config):
    both = dataclasses.replace(
        config,
        tasks=dataclasses.replace(config.tasks, families=("mlp", "rnn"), max_mflop=1.0),
        lengths=LengthsConfig(low=30, high=120, high_by_family={"rnn": 40.0}),
        strategy=dataclasses.replace(config.strategy, tasks=3),
    )
    searcher = Searcher(both, pool(both), {})
    drawn = [searcher.draw(index, slot)[:2] for index in range(20) for slot in range(3)]
    assert [spec.family for spec, _ in drawn] == 30 * ["mlp", "rnn"]
    lengths = {f: {n for spec, n in drawn if spec.family == f} for f in ("mlp", "rnn")}
    assert max(lengths["mlp"]) > 80 and min(lengths["mlp"]) >= 30
    assert lengths["rnn"] == {30, 40}


@pytest.mark.slow
def test_a_log_with_other_candidates_is_refused(whole, config, tmp_path):
    directory, _ = whole
    _copy(directory, tmp_path)
    record = json.loads((directory / LOG).read_text().splitlines()[0])
    (tmp_path / LOG).write_text(json.dumps({**record, "candidates": "0" * 16}) + "\n")
    with pytest.raises(StoreError, match="other candidates"):
        search_numbers(config, tmp_path, report=lambda line: None)


def test_numbers_have_names():
    values = {
        "step": 0.02, "small": 4.0, "direction/momentum_0.9": 0.4,
        "log_step/consistent 0.999": -0.3, "mixture/long 5000/parameter": 0.05,
    }  # fmt: skip
    assert numbers_from(values) == Numbers(
        step=0.02,
        small=4.0,
        direction={"momentum_0.9": 0.4},
        log_step={"consistent 0.999": -0.3},
        mixture={"long 5000": {"parameter": 0.05}},
    )
    with pytest.raises(UnknownNameError, match="direction/CHANNEL"):
        numbers_from({"direction": 1.0})
    with pytest.raises(UnknownNameError, match="momentum_0.9"):
        numbers_from({"direction/momentum_0.8": 1.0})
    with pytest.raises(UnknownNameError, match="long 200"):
        numbers_from({"log_step/long 20": 1.0})


def test_positive_numbers_move_along_their_logarithm():
    assert moved("step", 0.02, np.log(2.0)) == pytest.approx(0.04)
    assert moved("log_step/vector", 0.02, -0.5) == pytest.approx(-0.48)
    assert np.isfinite(moved("step", 0.02, 1e6))
    assert rounded(Numbers(step=0.0123456, direction={"parameter": -0.98765})) == Numbers(
        step=0.0123, direction={"parameter": -0.988}
    )


def test_a_config_goes_through_json():
    config = load_plan("velo-tiny")
    assert isinstance(config, SearchConfig)
    again = SearchConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.hash == config.hash
    # The order of numbers is that of the candidates' coordinates; 1 and 1.0 are the same.
    turned = dict(reversed(list(config.numbers.items())))
    assert dataclasses.replace(config, numbers=turned).hash != config.hash
    values = config.to_json()
    whole, real = ({**values, "strategy": {"sigma": sigma}} for sigma in (1, 1.0))
    assert SearchConfig.from_json(whole).hash == SearchConfig.from_json(real).hash
    with pytest.raises(SpecError, match="load_plan"):
        load_config("velo-tiny")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"numbers": {"step": [0.0, 1], "small": [1, 1]}}, "numbers.step"),
        ({"numbers": {"step": [0.1, -1], "small": [1, 1]}}, "numbers.step"),
        ({"numbers": {"step": [0.1, 10**400], "small": [1, 1]}}, "numbers.step"),
        ({"numbers": {"step": [0.1, 1]}}, "small"),
        ({"numbers": {"step": [0.1, 0], "small": [1, 1]}}, "two or more"),
        ({"numbers": {"step": [0.1, 1], "small": 1}}, "numbers.small"),
        ({"numbers": {"step": [0.1, 1], "small": [1, 1], "sise": [0, 1]}}, "numbers.sise"),
        ({"strategy": {"population": 7}}, "strategy.population"),
        ({"strategy": {"least": 2.0}}, "strategy.least"),
        ({"lengths": {"low": 100, "high": 50}}, "lengths.high"),
        ({"lengths": {"high_by_family": {"rnn": 1e6}}}, "lengths.high_by_family.rnn"),
        ({"lengths": {"high_by_family": {"vit": 300}}}, "lengths.high_by_family.vit"),
        ({"lengths": {"checked": [9999]}}, "lengths.checked"),
        ({"lengths": {"checked": ["200"]}}, "lengths.checked"),
        ({"envelope": {"lengths": [200, 100]}}, "envelope.lengths"),
        ({"envelope": {"rates": [0.0]}}, "envelope.rates"),
        ({"architecture": {"init": "structured"}}, "architecture.init"),
        ({"tasks": {"vary": ["init_scale"]}}, "tasks.vary"),
        ({"tasks": {"seed": 3, "vary": []}}, "tasks.seed"),
        ({"unroll": {"high": 3}}, "unroll"),
        ({"lengths": {"high": 9999}}, "lengths.high"),
        ({"architecture": {"hidden": 31, "init": "features"}}, "architecture.hidden"),
        ({"architecture": {"bank": 15, "init": "features"}}, "architecture.bank"),
        ({"method": "serach"}, "method.*left out for an evolution"),
        ({"schema": 2}, "schema"),
        ({"tasks": {"families": ["mlp", "mlp"], "vary": []}}, "tasks.families"),
    ],
)
def test_a_bad_config_is_refused_with_the_field_named(change, field):
    good = {
        "method": "search",
        "tasks": {"vary": []},
        "numbers": {"step": [0.1, 1], "small": [1, 1]},
    }
    SearchConfig.from_json(good)
    with pytest.raises(SpecError, match=field):
        SearchConfig.from_json({**good, **change})
    with pytest.raises(SpecError, match="numbers"):
        SearchConfig.from_json({"method": "search"})


@pytest.mark.slow
def test_a_card_is_made_into_weights_by_a_command(whole, tmp_path, capsys):
    _, result = whole
    card = result.path.with_suffix(".json")
    assert remake.main([str(card), str(tmp_path / "again.safetensors")]) == 0
    again = tmp_path / "again.safetensors"
    assert capsys.readouterr().out.strip() == str(again)
    assert weights_hash(again) == weights_hash(result.path)
    made, kept = (json.loads(path.with_suffix(".json").read_text()) for path in (again, card))
    assert {**made, "sha256": ""} == {**kept, "sha256": ""}

    (tmp_path / "other.json").write_text('{"training": {"config": {"method": "full"}}}')
    assert remake.main([str(tmp_path / "other.json"), str(again)]) == 1
    assert "not the card of weights that a search made: method" in capsys.readouterr().err
