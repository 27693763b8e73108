"""The published tasks as specs: names, sizes, costs, and the frozen lists of them."""

from __future__ import annotations

import conformance
import jax
import pytest
from conformance import FACTS

import velodrome
from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import PlanError, UnknownNameError
from velodrome.suites.catalog import load_suite, slices
from velodrome.suites.published.tasks import (
    GROUPS,
    NOT_HERE,
    group_of,
    group_tasks,
    in_83,
    published_tasks,
)
from velodrome.taskgen.space.config import config_to_json
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import ImageView, TextView

# Groups whose programs take long to trace.
LONG = ("learned_optimizer", "mlp_mixer", "resnet", "transformer_lm", "vit")


def test_every_published_name_is_here_or_said_to_be_missing():
    assert set(published_tasks()) | set(NOT_HERE) == set(FACTS) and len(FACTS) == 132
    without_curves = {name for name, facts in FACTS.items() if not any(facts["loss_0"].values())}
    assert len(without_curves) == 7 and not any(in_83(name) for name in without_curves)
    assert not set(published_tasks()) & set(NOT_HERE)
    assert all(spec.name == name for name, spec in published_tasks().items())
    assert len({spec.hash for spec in published_tasks().values()}) == len(published_tasks())
    with pytest.raises(UnknownNameError, match="resnet"):
        group_tasks("resne")
    with pytest.raises(UnknownNameError, match="published task"):
        group_of("ImageMLP")


def test_the_83_are_those_of_the_commit_that_had_83():
    chosen = {name for name in published_tasks() if in_83(name)}
    assert chosen == {name for name, facts in FACTS.items() if facts["in_83"]}
    assert len(chosen) == 83


@pytest.mark.parametrize(
    "group",
    [pytest.param(group, marks=[pytest.mark.long] if group in LONG else []) for group in GROUPS],
)
def test_parameters_and_costs_are_the_published_ones(group):
    """Nothing is compiled: the arrays' shapes, the closed form, and the traced program.

    One is traced of all tasks that differ only in data, batch and length; `make conformance` does
    all.
    """
    traced = set()
    for name, spec in group_tasks(group).items():
        closed, found = conformance.parameters_of(spec)
        assert closed == found == FACTS[name]["params"], name
        ignored = {"image_size": 0, "sequence_length": 0, "num_steps": 0}
        network = canonical_json({**config_to_json(spec.config), **ignored})
        if network not in traced:
            traced.add(network)
            assert abs(conformance.flops_error(spec)) < 0.1, name
        assert TaskSpec.from_json(spec.to_json()) == spec
        cost = velodrome.cost(spec)
        assert all(type(value) is int and value > 0 for value in cost.to_json().values()), name


def test_shapes_are_those_of_the_data():
    for name, spec in published_tasks().items():
        info = velodrome.datasets.get(spec.data.name).info
        view = spec.view
        if isinstance(view, ImageView):
            # One is published with images that are made larger.
            assert view.size <= info.shape[0] or name == "ImageMLP_FashionMnist32_Relu32", name
            assert view.num_classes == info.num_classes, name
            grey = "BW" in name or name.startswith("LOptPES_Adafac_Cifar")
            assert view.channels == (1 if grey else info.shape[2]), name
        else:
            assert isinstance(view, TextView)
            assert view.vocab_size == info.vocab_size, name


def test_networks_see_what_the_names_say(key):
    def shapes(name):
        return jax.tree.map(
            lambda leaf: leaf.shape, velodrome.build(published_tasks()[name]).shapes[0]
        )

    conv = shapes("Conv_imagenet16_16_64x128x128x128")
    assert [conv[f"conv_{layer}"]["kernel"][-1] for layer in range(4)] == [64, 128, 128, 128]
    coder = shapes("ImageMLPAE_Cifar10_128x32x128_bs256")
    assert [coder[f"dense_{layer}"]["kernel"][-1] for layer in range(3)] == [128, 32, 128]
    vit = shapes("VIT_ImageNet64_wideshallow")
    assert vit["positions"] == (1, 17, 384)  # 16 patches and the class token
    assert vit["patches"]["kernel"] == (16, 16, 3, 384)
    assert vit["block_5"]["attention"]["query"] == (384, 6, 64)
    mixer = shapes("MLPMixer_Cifar100_small16")
    assert mixer["block_7"]["tokens"]["dense_in"]["kernel"] == (4, 384)
    resnet = shapes("Resnet_MultiRuntime_9")
    assert sum(name.startswith("block_") for name in resnet) == 1 + 2 + 4 + 5
    assert resnet["block_0"]["projection"] == (1, 1, 64, 256)
    assert "projection" not in resnet["block_2"] and resnet["output"]["kernel"] == (1024, 1000)


# These hashes stand for results: a change needs a new name for the list, not a new hash.
@pytest.mark.parametrize(
    ("name", "tasks", "parts"),
    [
        (
            "velodrome-83",
            83,
            {
                "mlp": 18,
                "autoencoder": 6,
                "conv": 8,
                "resnet": 11,
                "vit": 6,
                "rnn_lm": 14,
                "transformer_lm": 16,
                "es_wrapped": 4,
            },
        ),
        (
            "velodrome-extended",
            46,
            {"mlp": 9, "conv": 3, "es_wrapped": 2, "mlp_mixer": 9, "learned_optimizer": 23},
        ),
    ],
)
def test_lists_and_their_parts(name, tasks, parts):
    suite = load_suite(name)
    assert len(suite.tasks) == tasks
    assert [task.name for task in suite.tasks] == [
        task for task in published_tasks() if in_83(task) == (name == "velodrome-83")
    ]
    found = slices(suite)
    assert {part: len(members.tasks) for part, members in found.items()} == {
        f"{name}/{part}": count for part, count in parts.items()
    }
    part = load_suite(f"{name}/mlp")
    assert part == found[f"{name}/mlp"] and part.protocol == suite.protocol


def test_a_part_can_be_a_data_set():
    suite = load_suite("velodrome-83/mnist")
    assert {task.data.name for task in suite.tasks} == {"mnist"} and len(suite.tasks) == 4
    with pytest.raises(UnknownNameError, match="velodrome-83/mnist"):
        load_suite("velodrome-83/mnis")
    assert slices(load_suite("smoke")) == {}


def test_a_part_can_be_one_task():
    suite = load_suite("velodrome-83/VIT_Cifar100_skinnydeep")
    assert [task.name for task in suite.tasks] == ["VIT_Cifar100_skinnydeep"]
    with pytest.raises(UnknownNameError, match="velodrome-83/VIT_Cifar100_skinnydeep"):
        load_suite("velodrome-83/VIT_Cifar100_skinnydep")
    with pytest.raises(PlanError, match="JAXNeRF_LegoBlenderTask is not implemented: it needs"):
        load_suite("velodrome-extended/JAXNeRF_LegoBlenderTask")


def test_the_protocol_is_the_published_one():
    protocol = load_suite("velodrome-83").protocol
    assert (protocol.steps, protocol.seeds, protocol.eval_every) == (10_000, 5, 10)
    assert protocol.horizon("adam") == 100_000 and protocol.learning_rates is None
    assert (protocol.eval_mode, protocol.eval_batches) == ("training-loss", "stream")
