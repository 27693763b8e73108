"""Logistic regression on images."""

from __future__ import annotations

from dataclasses import dataclass

from flax import nnx

import velodrome


@dataclass(frozen=True)
class LogisticConfig:
    """Config of the family."""

    image_size: int = velodrome.static(velodrome.log_int(4, 8), default=8)
    temperature: float = velodrome.dynamic(velodrome.log_float(0.5, 2.0), default=1.0)


class Logistic(nnx.Module):
    """Flatten, then one linear layer."""

    def __init__(self, config, view, *, rngs, dynamic):
        self.linear = nnx.Linear(view.pixels, view.num_classes, rngs=rngs)

    def __call__(self, image, *, dynamic):
        return self.linear(image.reshape(image.shape[0], -1)) / dynamic["temperature"]


family = velodrome.Family(name="logistic", config=LogisticConfig, network=Logistic)
