from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.space.config import (
    check_config,
    config_to_json,
    dynamic_values,
    sample_config,
    static_values,
)
from velodrome.taskgen.space.distributions import (
    boolean,
    choice,
    fixed,
    log_float,
    log_int,
    uniform_float,
    uniform_int,
)
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import config_fields, dynamic, static


@dataclass(frozen=True)
class Config:
    width: int = static(log_int(8, 128), allowed=(1, 1000), default=32)
    bias: bool = static(boolean(), default=True)
    kind: str = dynamic(choice(("a", "b")), allowed=("a", "b", "c"), default="a")
    scale: float = dynamic(uniform_float(0.5, 2), default=1.0)


def many(distribution, count=3000):
    return [distribution.sample(NamedRng(0, index), "x") for index in range(count)]


def test_log_int_follows_the_published_rule():
    values = many(log_int(4, 32))
    assert min(values) == 4 and max(values) == 31  # the upper end itself is never drawn
    exact = [
        int(math.exp(math.log(4) + NamedRng(0, index).word("x") / 2**64 * math.log(8)))
        for index in range(3000)
    ]
    assert values == exact
    below_octave = sum(value < 8 for value in values) / len(values)
    assert below_octave == pytest.approx(1 / 3, abs=0.03)


def test_log_int_is_exact_at_its_edges():
    class Fixed(NamedRng):
        def word(self, name: str) -> int:
            return int(name)

    assert log_int(100, 10_000).sample(Fixed(0), "0") == 100
    assert log_int(100, 10_000).sample(Fixed(0), str(2**64 - 1)) == 9999


def test_other_distributions_stay_in_range_and_fill_it():
    assert set(many(uniform_int(2, 5))) == {2, 3, 4, 5}
    floats = many(uniform_float(0.5, 2.0))
    assert 0.5 <= min(floats) < 0.52 and 1.98 < max(floats) <= 2.0
    logs = many(log_float(1e-3, 1e3))
    assert sum(value < 1 for value in logs) / len(logs) == pytest.approx(0.5, abs=0.03)
    assert all(float(f"{value:.6g}") == value for value in floats + logs)
    weighted = Counter(many(choice(("x", "y", "z"), (1, 2, 0))))
    assert weighted["x"] / 3000 == pytest.approx(1 / 3, abs=0.03) and weighted["z"] == 0
    assert set(many(boolean(1.0), 50)) == {True} and set(many(fixed(7), 50)) == {7}
    assert many(boolean(0.2)).count(True) / 3000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    "make",
    [
        lambda: log_int(0, 4),
        lambda: log_int(4, 4),
        lambda: uniform_int(3, 2),
        lambda: uniform_float(2, 1),
        lambda: log_float(0, 1),
        lambda: choice(()),
        lambda: choice((1, 2), (1,)),
        lambda: choice("snake"),
        lambda: boolean(1.5),
    ],
)
def test_impossible_distributions_are_refused(make):
    with pytest.raises(ValueError, match="needs"):
        make()


def test_a_new_field_moves_no_other_draw():
    @dataclass(frozen=True)
    class Longer(Config):
        extra: int = static(uniform_int(0, 9), default=0)

    for index in range(20):
        short, long = (sample_config(cls, NamedRng(3, index)) for cls in (Config, Longer))
        assert all(getattr(short, name) == getattr(long, name) for name in config_fields(Config))


def test_static_and_dynamic_values_are_told_apart():
    config = Config(width=9, kind="b", scale=0.75)
    assert dynamic_values(config) == {"kind": 1, "scale": 0.75}
    assert static_values(config) == {"width": 9, "bias": True}
    assert config_to_json(config) == {"width": 9, "kind": "b", "scale": 0.75}


def test_configs_are_completed_and_whole_numbers_may_stand_for_floats():
    assert check_config(Config, {"scale": 2}) == Config(scale=2.0)
    assert isinstance(check_config(Config, {"scale": 2}).scale, float)
    assert check_config(Config, Config(width=5)) == Config(width=5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 0}, ["config.width", "0", "an integer from 1 to 1000"]),
        ({"width": 1001}, ["config.width", "1001", "an integer from 1 to 1000"]),
        ({"width": 8.0}, ["config.width", "8.0", "an integer"]),
        ({"width": True}, ["config.width", "True", "an integer"]),
        ({"bias": 1}, ["config.bias", "true or false"]),
        ({"kind": "d"}, ["config.kind", "'d'", "'a', 'b', 'c'"]),
        ({"scale": "1"}, ["config.scale", "a number from 0.5 to 2"]),
        ({"scale": math.nan}, ["config.scale", "nan"]),
        ({"widht": 3}, ["widht", "did you mean 'width'"]),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_range(values, words):
    with pytest.raises(SpecError) as error:
        check_config(Config, values)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_config_that_is_not_declared_as_one_is_refused():
    @dataclass
    class Thawed:
        width: int = static(uniform_int(1, 2), default=1)

    @dataclass(frozen=True)
    class Plain:
        width: int = 3

    @dataclass(frozen=True)
    class Listed:
        widths: list = static(choice((1, 2)), default=1)

    for cls, words in ((Thawed, "frozen"), (Plain, "static"), (Listed, "int, float")):
        with pytest.raises(TypeError, match=words):
            config_fields(cls)
