"""The functions of an MLP's task with an estimated gradient."""

from __future__ import annotations

import dataclasses

from velodrome.taskgen.families import mlp
from velodrome.taskgen.families.es_wrapped import ESWrappedConfig
from velodrome.taskgen.functions import Dynamic, Scalar, TaskFunctions
from velodrome.taskgen.network import task_functions
from velodrome.taskgen.nn.evolution import evolution_gradient, with_gradient


def build(config: ESWrappedConfig, view: mlp.MLPView, precision: str) -> TaskFunctions:
    """Return the MLP's functions with the estimate as the gradient in training."""
    base = task_functions(mlp.family, config, view, precision)

    def training_loss(params, state, key, batch, dynamic):
        return base.loss(params, state, key, batch, train=True, dynamic=dynamic)

    def std(dynamic: Dynamic | None) -> Scalar:
        return (dynamic or {}).get("std", config.std)

    estimated = with_gradient(
        training_loss, evolution_gradient(training_loss, pairs=config.pairs, std=std)
    )

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        if train:
            return estimated(params, state, key, batch, dynamic)
        return base.loss(params, state, key, batch, train=False, dynamic=dynamic)

    return dataclasses.replace(base, loss=loss)
