"""What meta-training cost, from cards that anybody may have written."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from velodrome.optimizers.horizon import with_declared_horizon
from velodrome.optimizers.metacost import MetaTrainingCost, cost_on_card
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.velo.weights.store import read_weights

COMPUTE = {"device": "cpu", "cpu_hours": 0.5, "hours": 2.0, "outer_steps": 1_000}


def cost(**fields: Any) -> MetaTrainingCost | None:
    return cost_on_card({"training": {"compute": {**COMPUTE, **fields}}})


def test_built_in_weights_tell_their_cost_outside_of_their_identity():
    velo = optimizers.get("velo")
    found = velo.meta_training
    assert found is not None and found.unit == "CPU hours"
    assert found.amount == pytest.approx(1.226 + 41 / 60, abs=1e-3)
    assert found.source == "the card of its weights and the log"
    assert found.detail == (
        "2 searches, each from where the one before had come, the last of 400 outer steps"
    )
    assert set(velo.identity) == {"weights"}
    assert with_declared_horizon(velo, 0.5, name="half").meta_training == found
    assert optimizers.get("adam").meta_training is None


def test_weights_that_continue_others_cost_as_much_more():
    hours = {}
    for name in ("velo-tiny", "velo-tiny-2", "velo-tiny-3"):
        loaded, before = read_weights(name), math.fsum(hours.values())
        own = loaded.card["training"]["compute"]["cpu_hours"]
        # Before the first search there was another, and so there was before the third.
        hours[name] = own + {"velo-tiny": 41 / 60, "velo-tiny-3": 20 / 60}.get(name, 0.0)
        assert loaded.cost is not None
        assert loaded.cost.amount == pytest.approx(before + hours[name], abs=2e-3)


@pytest.mark.parametrize(
    ("fields", "amount", "unit"),
    [
        ({}, 0.5, "CPU hours"),
        ({"device": "NVIDIA H100"}, 2.0, "hours on NVIDIA H100"),
        # The processor time is that of the process which dealt out the work.
        ({"workers": 4}, 2.0, "hours with 4 workers"),
    ],
)
def test_the_unit_is_one_in_which_everything_was_counted(fields: dict, amount: float, unit: str):
    found = cost(**fields)
    assert found is not None and (found.amount, found.unit) == (amount, unit)
    assert found.detail == "1,000 outer steps"


@pytest.mark.parametrize(
    "card",
    [{}, {"training": "long"}, {"training": {"compute": 3}}, {"training": {"compute": {}}}],
)
def test_a_card_without_a_cost(card: dict):
    assert cost_on_card(card) is None


@pytest.mark.parametrize("hours", [None, "many", 0, -1.0, float("nan"), float("inf")])
def test_what_is_no_amount_is_none(hours: Any):
    assert cost(cpu_hours=hours) is None


def test_a_cost_is_positive():
    with pytest.raises(ValueError, match="positive"):
        dataclasses.replace(MetaTrainingCost(1.0, "hours", "me"), amount=0.0)
