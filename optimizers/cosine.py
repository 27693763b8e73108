"""Optimizers whose rate warms up and falls along a cosine, over the known number of steps."""

from __future__ import annotations

import dataclasses
import functools

import optax

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.evaluated import evaluates_elsewhere
from velodrome.optimizers.spec import OptimizerSpec

#: Share of the run in which the rate grows to its peak.
WARM_UP = 0.05


def with_cosine(spec: OptimizerSpec, *, name: str) -> OptimizerSpec:
    """Return an optimizer whose learning rate is a peak: linear warm-up for 5%, cosine to 0.

    The schedule scales the updates, which is the same where an update is proportional to the
    rate, decoupled weight decay included: SGD, Adam and AdamW, Lion, Muon, LAMB and most others.

    Raises:
      SpecError: The optimizer has no learning rate, or is evaluated elsewhere than it steps, as
        schedule-free is: there the update is not proportional to the rate.
    """
    if "learning_rate" not in spec.traced | spec.static:
        raise SpecError("optimizer", name, f"of one with a learning rate, which {spec.name} lacks")
    trial = spec.make(spec.points[0] or {"learning_rate": 0.1}, num_steps=1).init({})
    if spec.eval_params is not None or evaluates_elsewhere(trial):
        allowed = f"of one that is evaluated where it steps, which {spec.name} is not"
        raise SpecError("optimizer", name, allowed)

    # The signature stays that of the factory: `OptimizerSpec` reads it.
    @functools.wraps(spec.factory)
    def scheduled(*, num_steps: int, **hyperparameters: object) -> optax.GradientTransformation:
        given = {"num_steps": num_steps} if "num_steps" in spec.needs else {}
        made = spec.factory(**hyperparameters, **given)
        return optax.chain(made, optax.scale_by_schedule(schedule(num_steps)))

    return dataclasses.replace(
        spec,
        name=name,
        label=f"{spec.label} (cosine)",
        factory=scheduled,
        needs=spec.needs | {"num_steps"},
        identity={**spec.identity, "schedule": f"cosine, {WARM_UP:g} warm-up"},
    )


def schedule(num_steps: int) -> optax.Schedule:
    """Return the factor of the peak rate before each update: 1 after the warm-up, then towards 0.

    No update has the factor 0: the first one of the warm-up is its share, and the zero of the
    cosine would be that of the update after the last.
    """
    warm = max(1, round(WARM_UP * num_steps))
    rising = optax.linear_schedule(1 / warm, 1 + 1 / warm, warm)
    falling = optax.cosine_decay_schedule(1.0, max(1, num_steps - warm))
    return optax.join_schedules([rising, falling], [warm])
