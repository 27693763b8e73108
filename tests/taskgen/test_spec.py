from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.family import Family
from velodrome.taskgen.precision import Precision
from velodrome.taskgen.registry import families
from velodrome.taskgen.sampler import MIXTURE
from velodrome.taskgen.space.distributions import uniform_int
from velodrome.taskgen.space.fields import config_fields, static
from velodrome.taskgen.spec import TaskSpec

# Looked up here: a strategy should not import modules.
CONFIGS = {name: families.get(name).config for name in MIXTURE}


@st.composite
def spec_values(draw):
    """The JSON of any allowed spec of any family."""
    name = draw(st.sampled_from(MIXTURE))
    config = {}
    for field, (kind, info, _) in config_fields(CONFIGS[name]).items():
        if kind is str:
            values = st.sampled_from(info.allowed)
        elif kind is bool:
            values = st.booleans()
        elif kind is int:
            values = st.integers(*info.allowed)
        else:
            values = st.floats(*info.allowed)
        if draw(st.booleans()):
            config[field] = draw(values)
    data = {"name": draw(st.text(max_size=8)), "shift": draw(st.integers(0, 64))}
    return {
        "family": name,
        "config": config,
        "data": {**data, "flip": draw(st.booleans())},
        "batch_size": draw(st.integers(1, 65_536)),
        "name": draw(st.text()),
    }


@settings(deadline=None, max_examples=50)
@given(spec_values())
def test_specs_round_trip_through_json(values):
    spec = TaskSpec.from_json(values)
    again = TaskSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.hash == spec.hash and again.static_hash == spec.static_hash


@settings(deadline=None, max_examples=50)
@given(spec_values())
def test_the_name_is_a_label_and_no_part_of_the_hash(values):
    spec = TaskSpec.from_json(values)
    named = dataclasses.replace(spec, name="x")
    assert named.hash == spec.hash and named.label == "x"
    unnamed = dataclasses.replace(spec, name="")
    assert unnamed.label == f"{spec.family}-{spec.hash[:8]}"


def test_the_canonical_text_of_a_spec():
    spec = TaskSpec("mlp", {"hidden_size": 9, "num_layers": 2}, DataSpec("digits"), 16)
    assert spec.to_json() == {
        "family": "mlp",
        "version": 1,
        "config": {"hidden_size": 9},  # two layers are the default
        "data": {"name": "digits"},
        "batch_size": 16,
    }
    text = (
        '{"batch_size":16,"config":{"hidden_size":9},"data":{"name":"digits"},'
        '"family":"mlp","version":1}'
    )
    assert spec.hash == hashlib.sha256(text.encode()).hexdigest()


def test_specs_that_differ_only_in_dynamic_values_share_a_static_hash():
    specs = [
        TaskSpec("mlp", {"activation": name, "init_scale": scale}, DataSpec("digits"), 8)
        for name, scale in (("relu", 1.0), ("tanh", 2.0))
    ]
    assert specs[0].hash != specs[1].hash
    assert specs[0].static_hash == specs[1].static_hash
    wider = TaskSpec("mlp", {"hidden_size": 33}, DataSpec("digits"), 8)
    assert wider.static_hash != specs[0].static_hash


def test_a_new_field_at_its_default_moves_no_hash():
    def module(*args, **kwargs): ...

    @dataclass(frozen=True)
    class Old:
        width: int = static(uniform_int(1, 9), default=3)

    @dataclass(frozen=True)
    class New(Old):
        dummy: int = static(uniform_int(1, 9), default=5)

    hashes = []
    for config in (Old, New):
        with families.temporarily("dummy", Family("dummy", config, module)):
            spec = TaskSpec("dummy", {"width": 4}, DataSpec("digits"), 8)
            hashes.append((spec.spec_hash, spec.static_hash))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 0}, ["batch_size", "0", "an integer from 1 to 262144"]),
        ({"batch_size": "8"}, ["batch_size", "'8'"]),
        ({"batchsize": 8}, ["batchsize", "did you mean 'batch_size'"]),
        ({"data": {"name": "digits", "shift": -1}}, ["data.shift", "-1", "from 0 to 64"]),
        ({"data": {"name": "digits", "flip": 1}}, ["data.flip", "true or false"]),
        ({"data": {"shift": 1}}, ["data", "'name'"]),
        ({"data": {"name": "digits", "zoom": 1}}, ["data", "zoom"]),
        ({"data": {"name": "digits", "crop": 1.5}}, ["data.crop", "from 0 to 1"]),
        (
            {"data": {"name": "digits", "crop": 0.1, "shift": 1}},
            ["data.shift", "0 where data.crop"],
        ),
        ({"data": {"name": "digits", "randaugment": 17}}, ["data.randaugment", "from 0 to 16"]),
        ({"data": {"name": "digits", "magnitude": 9}}, ["data.magnitude", "left out"]),
        ({"data": 7}, ["data", "7"]),
        ({"config": {"hidden_size": -1}}, ["config.hidden_size", "-1", "from 1 to 65536"]),
        ({"config": [1]}, ["config", "[1]"]),
        ({"version": 99}, ["version", "99", "must be 1"]),
        ({"precision": {"compute": "float16"}}, ["precision.compute", "float16", "'bfloat16'"]),
        ({"precision": "bf16"}, ["precision: got", "bf16", "'bfloat16'"]),
        ({"precision": {"params": "bfloat16"}}, ["precision.params", "bfloat16", "float32"]),
        ({"augmentations": ["ess"]}, ["augmentations", "ess", "did you mean 'es'"]),
        ({"grad_accumulation": 3}, ["grad_accumulation", "3", "a divisor of the batch size, 8"]),
        ({"name": 3}, ["name", "3", "a string"]),
    ],
)
def test_a_wrong_spec_is_refused_with_field_value_and_range(change, words):
    good = {"family": "mlp", "data": {"name": "digits"}, "batch_size": 8}
    TaskSpec.from_json(good)
    with pytest.raises(SpecError) as error:
        TaskSpec.from_json({**good, **change})
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("missing", ["family", "data", "batch_size"])
def test_a_missing_field_is_named(missing):
    values = {"family": "mlp", "data": "digits", "batch_size": 8}
    del values[missing]
    with pytest.raises(SpecError, match=f"the key '{missing}'"):
        TaskSpec.from_json(values)


def test_an_unknown_family_gets_the_close_matches():
    with pytest.raises(UnknownNameError, match="Did you mean 'transformer'"):
        TaskSpec("transfromer", {}, DataSpec("kjv"), 8)


def test_the_usual_precision_is_left_out():
    assert Precision().to_json() == {}
    assert Precision.from_json({"matmul": "highest"}) == Precision()


@pytest.mark.parametrize("field", [{"shift": 1}, {"flip": True}, {"crop": 0.5}, {"randaugment": 2}])
def test_only_images_are_varied(field):
    spec = TaskSpec("transformer", {}, DataSpec("kjv", **field), 8)
    with pytest.raises(SpecError, match=f"data.{next(iter(field))}: .*left out, because 'kjv' is"):
        _ = spec.view


def test_a_spec_refuses_randaugment_on_images_that_have_no_usual_colours():
    """Before any data are loaded."""
    info = DatasetInfo(
        name="two", kind="image", shape=(8, 8, 2), num_classes=3, provenance="stand-in",
        licence="", origin="",
    )  # fmt: skip
    with datasets.temporarily("two", Dataset(info, lambda split: pytest.fail("loaded"))):
        assert TaskSpec("cnn", {}, DataSpec("two"), 8).view.numbers
        with pytest.raises(
            SpecError, match=r"randaugment: .*'two' has images of 2 channels, not 1"
        ):
            _ = TaskSpec("cnn", {}, DataSpec("two", randaugment=2), 8).view
