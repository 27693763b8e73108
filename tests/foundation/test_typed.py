"""JSON by declared types: what is refused, and what the message names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from velodrome.foundation.errors import SpecError
from velodrome.foundation.typed import parse_json, read_as


@dataclass(frozen=True)
class Point:
    x: float
    tags: tuple[str, ...] = ()


class _Named(TypedDict):
    name: str


class Record(_Named, total=False):
    points: Mapping[str, Point]
    size: int | None
    either: int | str
    anything: object


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Expecting value"),
        (b"{} x", "Extra data"),
        (b"\xff", "decode"),
        (b"NaN", "NaN is no finite number"),
        (b"[-Infinity]", "no finite number"),
        (b"1e999", "1e999 is no finite number"),
        (b"9223372036854775808", "more than 64 bits"),
        (b"1" * 5000, "more than 64 bits"),
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' twice"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_no_file_of_ours_may_hold(text: bytes, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_what_it_may_hold():
    assert parse_json(b'{"a": [1, -2.5, true, null, "\\u00e9"]}') == {
        "a": [1, -2.5, True, None, "\u00e9"]
    }
    assert parse_json(b"-9223372036854775808") == -(2**63)


def test_values_are_read_as_they_are_declared():
    values = {"name": "n", "points": {"a": {"x": 1, "tags": ["t"]}}, "size": None, "more": [1]}
    found = read_as(Record, values, "")
    assert found == {**values, "points": {"a": Point(1.0, ("t",))}}
    assert type(found["points"]["a"].x) is float  # pyright: ignore[reportTypedDictNotRequiredAccess]
    assert read_as(Record, {"name": "n", "either": "s"}, "") == {"name": "n", "either": "s"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (3, "content: got 3, but it must be an object"),
        ({}, "an object with the key 'name'"),
        ({"name": 5}, "name: got 5, but it must be a string"),
        ({"name": "n", "size": True}, "size: got True, but it must be an integer"),
        ({"name": "n", "size": 1.0}, "size: got 1.0, but it must be an integer"),
        ({"name": "n", "either": []}, r"either: got \[\]"),
        ({"name": "n", "points": {"a": {"x": "1"}}}, r"points.a.x: got '1', but .* a number"),
        ({"name": "n", "points": {"a": {"y": 1}}}, "points.a: got .*did you mean|points.a: got"),
        ({"name": "n", "points": {"a": {"x": 1, "tags": "t"}}}, "points.a.tags: .* a list"),
        ({"name": "n", "points": {"a": {"x": 1, "tags": [1]}}}, r"points.a.tags\[0\]: .* a string"),
    ],
)
def test_the_part_that_is_wrong_is_named(values: Any, message: str):
    with pytest.raises(SpecError, match=message):
        read_as(Record, values, "")


def test_parts_that_are_not_required_can_be_left_out():
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    wrong: list[SpecError] = []
    found = read_as(Record, {"name": "n", "size": "s", "anything": deep}, "", skip=wrong.append)
    assert found == {"name": "n"}
    assert [error.field for error in wrong] == ["size", "anything"]
    with pytest.raises(SpecError, match="name: got 1"):
        read_as(Record, {"name": 1}, "", skip=wrong.append)
