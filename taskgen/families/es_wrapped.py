"""Image classification by an MLP whose gradient is an evolution-strategies estimate.

The published tasks ``ESWrapped_*`` and the published task augmentation "ES": the loss is the plain
one, but the optimizer gets no true gradient of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost
from velodrome.taskgen.families import mlp
from velodrome.taskgen.family import Family
from velodrome.taskgen.space.distributions import choice, log_float
from velodrome.taskgen.space.fields import dynamic, static

# For each number of a perturbation: drawing it (6), adding it with both signs (4), and its part
# in the estimate (2).
_FLOPS_OF_NOISE = 12


@dataclass(frozen=True)
class ESWrappedConfig(mlp.MLPConfig):
    """Config of the family "es_wrapped"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      pairs: Antithetic pairs of perturbed losses in an estimate.
      std: Standard deviation of the perturbations of the parameters.
    """

    pairs: int = static(choice((1, 2, 4, 8, 16)), allowed=(1, 1024), default=1)
    std: float = dynamic(log_float(1e-3, 1e-1), allowed=(1e-6, 10.0), default=0.01)


def cost(config: ESWrappedConfig, view: mlp.MLPView, batch_size: int) -> Cost:
    """Return the cost of forward passes only, 1 and 2 for each pair."""
    base = mlp.cost(config, view, batch_size)
    forward = base.eval_flops_per_example * batch_size
    noise, passes = config.pairs * base.params, 1 + 2 * config.pairs
    return dataclasses.replace(
        base,
        flops=passes * forward + _FLOPS_OF_NOISE * noise,
        bytes=base.bytes // 3 * passes + BYTES_PER_FLOAT * 8 * noise,
        # The perturbed parameters and activations of all pairs at once; none of them is kept.
        activation_bytes=2 * config.pairs * base.activation_bytes + BYTES_PER_FLOAT * 3 * noise,
        # Pairs run side by side.
        kernels=2 * (base.kernels // 3) + 4,
    )


family = Family(
    name="es_wrapped",
    config=ESWrappedConfig,
    view=mlp.view,
    cost=cost,
    build="velodrome.taskgen.families.networks.es_wrapped:build",
    shrink={**mlp.family.shrink, "pairs": 1},
)
