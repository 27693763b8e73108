"""Image classification by an MLP whose gradient is an evolution-strategies estimate.

The published tasks ``ESWrapped_*`` and the published task augmentation "ES": the loss is the
plain one, of which the optimizer gets no true gradient.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost
from velodrome.taskgen.families import mlp
from velodrome.taskgen.family import Family
from velodrome.taskgen.space.config import (
    choice,
    config_fields,
    dynamic,
    dynamic_values,
    log_float,
    static,
)
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True)
class ESWrappedConfig(mlp.MLPConfig):
    """Config of the family "es_wrapped"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    The fields of the MLP are those of the family "mlp".

    Attributes:
      pairs: Antithetic pairs of perturbed losses in an estimate.
      std: Standard deviation of the perturbations of the parameters.
    """

    pairs: int = static(choice((1, 2, 4, 8, 16)), allowed=(1, 1024), default=1)
    std: float = dynamic(log_float(1e-3, 1e-1), allowed=(1e-6, 10.0), default=0.01)


def base_spec(spec: TaskSpec) -> TaskSpec:
    """Returns the spec of the task whose gradient is estimated."""
    config = {name: getattr(spec.config, name) for name in config_fields(mlp.MLPConfig)}
    return dataclasses.replace(
        spec, family="mlp", version=mlp.family.version, config=config, name=""
    )


def build(spec: TaskSpec, info: Any) -> Any:
    """Returns the base task with the estimate as its gradient in training."""
    from velodrome.taskgen.nn.evolution import evolution_gradient, with_gradient  # imports jax

    base = mlp.family.build(base_spec(spec), info)
    constants = dynamic_values(spec.config)

    def training_loss(params: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        return base.loss(params, state, key, batch, train=True, dynamic=dynamic)

    def std(dynamic: Any) -> Any:
        return (dynamic or {}).get("std", constants["std"])

    estimated = with_gradient(
        training_loss, evolution_gradient(training_loss, pairs=spec.config.pairs, std=std)
    )

    def loss(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
    ) -> Any:
        if train:
            return estimated(params, state, key, batch, dynamic)
        return base.loss(params, state, key, batch, train=False, dynamic=dynamic)

    return dataclasses.replace(base, spec=spec, dynamic=constants, cost=cost(spec, info), loss=loss)


# For each number of a perturbation: drawing it (6), adding it with both signs (4), and its part
# in the estimate (2).
_FLOPS_OF_NOISE = 12


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form: forward passes only, 1 and 2 for each pair."""
    base, pairs = mlp.family.cost(base_spec(spec), info), spec.config.pairs
    forward = base.eval_flops_per_example * spec.batch_size
    noise = pairs * base.params
    passes = 1 + 2 * pairs
    return dataclasses.replace(
        base,
        flops=passes * forward + _FLOPS_OF_NOISE * noise,
        bytes=base.bytes // 3 * passes + BYTES_PER_FLOAT * 8 * noise,
        # The perturbed parameters and activations of all pairs at once, of which nothing is kept.
        activation_bytes=2 * pairs * base.activation_bytes + BYTES_PER_FLOAT * 3 * noise,
        # Pairs run side by side.
        kernels=2 * (base.kernels // 3) + 4,
    )


family = Family(
    name="es_wrapped",
    config=ESWrappedConfig,
    view=mlp.family.view,
    cost=cost,
    build=build,
    shrink={**mlp.family.shrink, "pairs": 1},
)
