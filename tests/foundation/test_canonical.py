from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome.foundation.canonical import canonical_json, content_hash

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_reads_back_as_the_same_value(value):
    assert json.loads(canonical_json(value)) == value


def test_key_order_and_tuples_do_not_matter():
    assert canonical_json({"b": (1, 2), "a": 1.5}) == '{"a":1.5,"b":[1,2]}'
    assert content_hash({"b": [1, 2], "a": 1.5}) == content_hash({"a": 1.5, "b": (1, 2)})


def test_hash_is_the_sha256_of_the_text():
    # printf '{"a":1}' | sha256sum
    expected = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert content_hash({"a": 1}) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_what_json_cannot_say(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": value})
