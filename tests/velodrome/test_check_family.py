"""The contract of every registered family, and that its checks can fail."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import sys
import time
from typing import Any

import jax
import pytest
from flax import nnx

import velodrome
from velodrome.check import check_family, run_checks
from velodrome.contracts import family as family_contract
from velodrome.foundation.errors import VelodromeError
from velodrome.taskgen.space.fields import config_fields

FAMILIES = (
    "mlp",
    "cnn",
    "rnn",
    "transformer",
    "tabular_mlp",
    "autoencoder",
    "resnet",
    "vit",
    "mlp_mixer",
    "resnet50",
    "vit_s16",
    "wmt_transformer",
    "unet",
    "gnn",
    "dlrm",
    "conformer",
    "deepspeech",
    "es_wrapped",
    "learned_optimizer",
    "learned_optimizer_pes",
)


#: Checks that compile nothing.
QUICK = ("sampling", "config")

#: Families whose programs take long to compile; make test-all runs their other checks.
LARGE = (
    "transformer",
    "resnet",
    "vit",
    "resnet50",
    "vit_s16",
    "wmt_transformer",
    "unet",
    "gnn",
    "dlrm",
    "conformer",
    "deepspeech",
    "learned_optimizer",
    "learned_optimizer_pes",
)

#: What tests/taskgen puts every family through already, on more configs.
ELSEWHERE = ("cost", "learning")


@functools.cache
def subject_of(family: str) -> family_contract.Subject:
    return family_contract.Subject(velodrome.families.get(family))


@pytest.mark.parametrize(
    ("family", "check"),
    [
        pytest.param(
            family,
            check,
            marks=pytest.mark.long if family in LARGE and check not in QUICK else (),
        )
        for family in FAMILIES
        for check in family_contract.CHECKS
        if check not in ELSEWHERE
    ],
)
def test_registered_families_keep_the_contract(family: str, check: str):
    family_contract.CHECKS[check](subject_of(family))


@pytest.mark.parametrize("check", ELSEWHERE)
def test_a_good_family_passes_the_rest(check: str):
    subject = family_contract.Subject(velodrome.families.get("mlp"))
    family_contract.CHECKS[check](subject)


@pytest.mark.parametrize("family", ["mlp", "cnn", "rnn", "transformer"])
def test_dynamic_variants_of_registered_families_differ(family: str):
    """Also where the sampler draws one value only."""
    subject = family_contract.Subject(velodrome.families.get(family))
    fields = config_fields(subject.family.config)
    names = [name for name, (_, info, _) in fields.items() if info.dynamic]
    variants = [family_contract._variant(subject, names, index) for index in range(8)]
    assert names
    assert len({json.dumps(variant) for variant in variants}) == 8
    for variant in variants:  # all of them allowed
        subject.spec(variant)


def test_all_families_are_tested():
    assert set(FAMILIES) == set(velodrome.families.names())


@dataclasses.dataclass(frozen=True)
class GainConfig:
    gain: float = velodrome.dynamic(velodrome.log_float(0.5, 2.0), default=1.0)
    width: int = velodrome.static(velodrome.log_int(2, 8), default=4)


class Good(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.linear = nnx.Linear(view.pixels, view.num_classes, rngs=rngs)
        self.config = config

    def __call__(self, image, *, dynamic):
        return self.linear(image.reshape(image.shape[0], -1)) * dynamic["gain"]


class KeepsConstants(Good):
    """Bakes the config's value in, so that traced ones change nothing."""

    def __call__(self, image, *, dynamic):
        return super().__call__(image, dynamic={"gain": self.config.gain})


class Rounds(Good):
    """Computes something else from a traced value than from a constant."""

    def __call__(self, image, *, dynamic):
        gain = dynamic["gain"]
        traced = isinstance(gain, jax.Array)
        return super().__call__(image, dynamic={"gain": gain + 1 if traced else gain})


class Ignores(Good):
    """Declares a dynamic value and does nothing with it."""

    def __call__(self, image, *, dynamic):
        del dynamic
        return super().__call__(image, dynamic={"gain": 1.0})


@dataclasses.dataclass(frozen=True)
class OneGainConfig:
    """A dynamic field that can have one value only."""

    gain: float = velodrome.dynamic(velodrome.choice((1.0,)), default=1.0)


class NeedsNumbers(Good):
    """Branches in Python on a value that may be traced."""

    def __call__(self, image, *, dynamic):
        return super().__call__(image, dynamic=dynamic) if dynamic["gain"] > 0 else image


class Frozen(Good):
    """Learns nothing."""

    def __call__(self, image, *, dynamic):
        return jax.lax.stop_gradient(super().__call__(image, dynamic=dynamic))


def half_the_cost(config: Any, view: Any, batch_size: int) -> Any:
    del config, view, batch_size
    return velodrome.Cost(1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    "changes, check, message",
    [
        (
            {"network": KeepsConstants},
            "dynamic",
            "all 8 dynamic variants .* the loss is .* not use",
        ),
        (
            {"network": Ignores},
            "dynamic",
            "all 8 dynamic variants .* the loss is .* not use",
        ),
        ({"network": Rounds}, "dynamic", "traced the loss is .*, with them constant"),
        ({"config": OneGainConfig}, "dynamic", "fields gain allow a single value; declare them st"),
        ({"network": NeedsNumbers}, "dynamic", "TracerBoolConversionError"),
        ({"network": Frozen}, "learning", "the loss only falls to"),
        ({"network": Frozen}, "gradients", "all gradients are zero"),
        ({"cost": half_the_cost}, "cost", "cost says 1 parameters, the program has"),
    ],
)
def test_a_familys_mistakes_are_noticed(changes: dict[str, Any], check: str, message: str):
    family = velodrome.Family(**{"name": "gain", "config": GainConfig, "network": Good, **changes})
    with velodrome.families.temporarily("gain", family):
        checks = {check: family_contract.CHECKS[check]}
        (result,) = run_checks(checks, family_contract.Subject(family))
    assert re.search(message, result.problem)


def test_a_family_is_registered_only_while_it_is_checked(monkeypatch: pytest.MonkeyPatch):
    checks = {"sampling": family_contract.CHECKS["sampling"]}
    monkeypatch.setattr(family_contract, "CHECKS", checks)
    family = velodrome.Family(name="gain", config=GainConfig, network=Good)
    assert all(result.passed for result in check_family(family))
    assert "gain" not in velodrome.families.names()
    taken = velodrome.Family(name="mlp", config=GainConfig, network=Good)
    with pytest.raises(VelodromeError, match="another family is registered as 'mlp'"):
        check_family(taken)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_which_check_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    for stream, shows in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        run_checks({"wholesome": lambda _: time.sleep(0.2)}, None)
        assert ("checking: wholesome" in stream.getvalue()) == shows
        assert bool(stream.getvalue()) == shows
