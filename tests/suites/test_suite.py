from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scripts import freeze_suites as freeze
from scripts.choose_heldout import FAMILIES, has_hidden_layer
from velodrome.foundation.errors import PlanError, SpecError, UnknownNameError
from velodrome.results.store.store import Store
from velodrome.results.store.target import Target
from velodrome.suites.catalog import LISTS, frozen, load_suite, suites
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.specfile import save_specs

PUBLISHED = Path(__file__).parents[2] / "results" / "published"

# These hashes stand for results: a change needs a new name for the list, not a new hash.
GOLDEN = {
    "smoke": "dfe76e4a7e60662bb555e4494c76669ec84ae6d8c5621b18b87ffe3d8eef9111",
    "demo": "48709063b736c78d76c89732805a610666a2a9e2d6c34c38ae2ce56e666814dd",
    "sprint": "2cdc091a13add8e210db1d34ac8da23f13900b159dfa367e9d2b37fe566aedcf",
    "heldout-40": "6a3a7dc7a67bb93c48d8d18d1b0f5e45aa294b65ef9359cc8f7d2e54632530ce",
    "heldout-8": "6473c9ec480aee8566df3080ff470ba8dad49aca98282d225be0efcad9b9b748",
    "heldout-8-width": "331956f933c186142958ab7e770cbebf19bb21dc95682816ae7cdce1f300ccf8",
    "velodrome-83": "9a469615745faf5dbe6ed9ec21d241ea6b407354622c2a61f171e97c1293f670",
    "velodrome-extended": "7df116fbc842ead0de3153c70415a711afe15a3bfbf7ba6cae584aacba913d15",
    "stress-parameters": "2e09d6ec281f84560fe420e52bf4e87b3f5e8a24a600c77b9d6c86bcb916365c",
    "stress-steps-2k": "6cc5c79b4ddc561a557d2c5a3ac1af16e81868aa7d2fb86b08459b618996ef2f",
    "stress-steps-20k": "673a2c7c94bc222c51f7659f18183ff6c97e8d0484fda0b15ae4ce3fdfae5427",
    "stress-steps-100k": "543ad54b8f91712f4d0d94a14c8390c8031fa292b1a321801bb5795174653f3d",
    "stress-steps-200k": "f30ffc846076f4e486d0bd88f6cf49d4138c0e16a34a08a35e5c4bfcdf75172d",
    "stress-steps-400k": "f31eafd4e10096c094ebf854bb98c1d3a9430f64bc6fd3484dded499b440980a",
    "stress-horizon": "2162ff5fa032d144c84d9146f435a0ff63217f679fc5bb745bd5808648316c46",
    "mlcommons-mini": "a64b43f9d6735d91e754be9dcd053582b0d0280e21e2b3bdd36dd6683123974b",
    "mlcommons-6": "af60d604ffa6da0b0677c238ba9573a332af3d66605e3f2736556e534f0f23e5",
    "mlcommons-8": "177c8fc505afe56cf643cd9c2032f5a6f8b69ff459744fff527095a8d888a59a",
}

# Their tasks are sampled, which takes seconds.
SAMPLED = {*(name for name in GOLDEN if "heldout" in name), "demo", "sprint", "stress-horizon"}


def small(**config) -> TaskSpec:
    return TaskSpec(family="mlp", config=config, data=DataSpec("digits"), batch_size=16)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_frozen_lists_have_their_golden_hash(name):
    assert frozen(name).hash == GOLDEN[name]


@pytest.mark.parametrize(
    "store",
    ["demo", "heldout-40/adam", "heldout-40/velo", "heldout-8-width/adam", "heldout-8-width/velo"],
)
def test_published_results_are_of_the_frozen_lists(store):
    manifest = Store.open(PUBLISHED / store, read_only=True).manifest["suite"]
    alone = {"adam": ("adam",), "velo": ("velo",)}.get(Path(store).name)
    suite = frozen(manifest["name"])
    assert manifest["hash"] == (suite.override(optimizers=alone) if alone else suite).hash


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name in SAMPLED else ())
        for name in sorted(GOLDEN)
    ],
)
def test_the_documented_command_makes_the_list_again(name):
    made = json.dumps(freeze.RECIPES[name]().to_json(), indent=1) + "\n"
    assert made == (LISTS / f"{name}.json").read_text()


def test_the_demo_has_two_networks_of_each_family():
    tasks = frozen("demo").tasks
    assert Counter(task.family for task in tasks) == dict.fromkeys(FAMILIES, 2)
    assert all(has_hidden_layer(task) and cost(task).params >= 1_000 for task in tasks)


def test_round_trip():
    suite = Suite("mine", (small(hidden_size=8), small(hidden_size=9)), Protocol(steps=100))
    again = Suite.from_json(json.loads(json.dumps(suite.to_json())))
    assert again == suite
    assert again.hash == suite.hash


def test_names_are_labels_and_all_else_counts():
    suite = Suite("a", (small(),), Protocol(steps=100))
    assert Suite("b", (small(),), Protocol(steps=100)).hash == suite.hash
    others = [
        suite.override(steps=200),
        suite.override(optimizers=["adam"]),
        Suite("a", (small(hidden_size=9),), suite.protocol),
    ]
    assert len({suite.hash, *(other.hash for other in others)}) == 4


def test_a_changed_spec_in_a_frozen_list_is_refused():
    content: Any = Suite("a", (small(),), Protocol(steps=100)).to_json()
    content["tasks"][0]["spec"]["batch_size"] = 17
    with pytest.raises(SpecError, match="a frozen list must not change"):
        Suite.from_json(content)


def test_a_file_of_tasks_is_a_suite(tmp_path):
    save_specs(tmp_path / "tasks.json", [small(hidden_size=8), small(hidden_size=9)])
    suite = load_suite(str(tmp_path / "tasks.json"))
    assert [task.config.hidden_size for task in suite.tasks] == [8, 9]
    assert suite.optimizers == ("adam", "velo")


def test_a_python_file_gives_a_suite(tmp_path):
    (tmp_path / "mine.py").write_text("import velodrome\nmine = velodrome.load_suite('smoke')\n")
    assert load_suite(f"{tmp_path / 'mine.py'}:mine").hash == load_suite("smoke").hash


def test_a_task_without_a_name_is_a_part_by_its_label():
    whole = load_suite("demo")
    for task in whole.tasks:
        part = load_suite(f"demo/{task.label}")
        assert not task.name and part.tasks == (task,) and part.protocol == whole.protocol
    with pytest.raises(UnknownNameError, match=whole.tasks[0].label):
        load_suite(f"demo/{whole.tasks[0].label[:-1]}")


def test_bad_suites_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="'demo'"):
        load_suite("dmo")
    (tmp_path / "other.json").write_text('{"kind": "recipe"}')
    with pytest.raises(SpecError, match="velodrome-suite"):
        load_suite(str(tmp_path / "other.json"))
    (tmp_path / "store" / "questions").mkdir(parents=True)
    with pytest.raises(SpecError, match="this is a store; each file in .*questions has a suite"):
        load_suite(str(tmp_path / "store"))
    with pytest.raises(PlanError, match="there is no file"):
        load_suite(str(tmp_path / "absent.json"))
    with pytest.raises(SpecError, match="not in the suite yet"):
        Suite("twice", (small(), small()), Protocol(steps=100))
    with pytest.raises(SpecError, match="one or more task specs"):
        Suite("empty", (), Protocol(steps=100))
    assert {"demo", "smoke"} <= set(suites.names())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": 5}, "suite.optimizers: got 5"),
        ({"optimizers": "adam"}, "suite.optimizers: got 'adam'"),
        ({"tasks": 5}, "suite.tasks: got 5"),
        ({"name": 5}, "suite.name: got 5"),
        ({"protocol": 5}, "protocol: got 5"),
        ({"protocol": {"steps": 100, "learning_rates": "abc"}}, "learning_rates: got 'abc'"),
        ({"protocol": {"steps": 100, "learning_rates": ["a"]}}, "learning_rates: got"),
        ({"protocol": {"steps": 100, "baseline": 5}}, "protocol.baseline: got 5"),
    ],
)
def test_wrong_types_in_a_suite_are_named(change, message):
    content = {**frozen("smoke").to_json(), **change}
    with pytest.raises(SpecError, match=message):
        Suite.from_json(content)


def test_targets_belong_to_tasks_and_change_no_run():
    one, other = small(), small(num_layers=1)
    target = Target(0.9, "accuracy")
    plain = Suite("s", (one, other), Protocol(steps=100))
    suite = Suite("s", (one, other), Protocol(steps=100), targets={other.label: target})
    assert suite.hash == plain.hash
    content = suite.to_json()
    assert "target" in str(content) and "target" not in str(plain.to_json())
    assert Suite.from_json(json.loads(json.dumps(content))) == suite != plain
    assert suite.part([one], name="first").targets == {}
    assert suite.part([other], name="other").targets == suite.targets
    assert suite.override(steps=200).targets == suite.targets
    with pytest.raises(SpecError, match="suite.targets"):
        Suite("s", (one,), Protocol(steps=100), targets={other.label: target})
    tasks = content["tasks"]
    assert isinstance(tasks, list)
    entry = tasks[1]
    entry["target"] = 0.9
    with pytest.raises(SpecError, match=r"suite.tasks\[1\].target"):
        Suite.from_json(content)
    entry["targt"] = entry.pop("target")
    with pytest.raises(SpecError, match=r"suite.tasks\[1\].*did you mean 'target'"):
        Suite.from_json(content)
    with pytest.raises(SpecError, match=r"suite: .*did you mean 'optimizers'"):
        Suite.from_json({**plain.to_json(), "optimizer": ["adam"]})
