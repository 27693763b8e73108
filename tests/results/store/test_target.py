"""Targets: as texts, as JSON, and what is no target."""

from __future__ import annotations

import pytest

from velodrome.foundation.errors import SpecError
from velodrome.results.store.target import Target


@pytest.mark.parametrize(
    ("text", "target", "shown"),
    [
        ("0.5", Target(0.5), "held-out loss <= 0.5"),
        ("-1e-3", Target(-1e-3), "held-out loss <= -0.001"),
        ("accuracy=0.9", Target(0.9, "accuracy", "higher"), "held-out accuracy >= 0.9"),
        ("word_error_rate=0.1", Target(0.1, "word_error_rate", "lower"),
         "held-out word error rate <= 0.1"),
        ("train:loss=0.1", Target(0.1, split="train"), "train loss <= 0.1"),
        ("train:0.1", Target(0.1, split="train"), "train loss <= 0.1"),
        ("heldout:my_metric>=3", Target(3.0, "my_metric", "higher"), "held-out my metric >= 3"),
        ("my_metric<=3", Target(3.0, "my_metric", "lower"), "held-out my metric <= 3"),
        ("loss<=3", Target(3.0), "held-out loss <= 3"),
    ],
)  # fmt: skip
def test_a_text_is_a_target(text: str, target: Target, shown: str):
    found = Target.parse(text)
    assert found == target and str(found) == shown
    assert Target.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "accuracy=0.9"),
        ("low", "accuracy=0.9"),
        ("accuracy=high", "accuracy=0.9"),
        ("accuracy=nan", "accuracy=0.9"),
        ("inf", "a finite number"),
        ("test:loss=1", "accuracy=0.9"),
        ("my_metric=3", "'lower' or 'higher'.*my_metric>=VALUE"),
        ("loss>=3", "'lower' for loss, or left out"),
        ("accuracy<=0.9", "'higher' for accuracy"),
        ("accuracy=90", "1 or less for accuracy"),
        ("acuracy=0.9", "did you mean 'accuracy'"),
        ("train:accuracy=0.9", "'loss' on the train split"),
    ],
)
def test_what_is_no_target_is_refused(text: str, message: str):
    with pytest.raises(SpecError, match=message):
        Target.parse(text)


def test_json_is_checked():
    with pytest.raises(SpecError, match="metric"):
        Target.from_json({"value": 1.0, "metrik": "loss"})
    with pytest.raises(SpecError, match="value"):
        Target.from_json({"metric": "loss"})
    with pytest.raises(SpecError, match="metric"):
        Target.from_json({"value": 1.0, "metric": ["loss"]})
    with pytest.raises(SpecError, match="heldout"):
        Target(1.0, split="test")
