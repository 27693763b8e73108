"""The families "learned_optimizer" and "learned_optimizer_pes": costs and declarations."""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost
from velodrome.taskgen.families import cnn, mlp
from velodrome.taskgen.families.learned_optimizer.config import (
    InnerConfig,
    LearnedOptimizerConfig,
    LearnedOptimizerPESConfig,
    inner_config,
    view,
)
from velodrome.taskgen.family import Family
from velodrome.taskgen.space.distributions import log_int
from velodrome.taskgen.views import ImageView


@dataclass(frozen=True)
class StepCost:
    """What an inner step costs, in integers.

    Attributes:
      forward: FLOPs of the step: the inner gradient and the update.
      reverse: FLOPs of differentiating it once more, in reverse mode.
      carry_floats: Numbers in a carry.
      kept_floats: Numbers that differentiating one step keeps.
      kernels: Operations of the step that run one after the other.
      weights: Trainable scalars of the rule.
      start: FLOPs of making a carry.
    """

    forward: int
    reverse: int
    carry_floats: int
    kept_floats: int
    kernels: int
    weights: int
    start: int


# For each rule without a network, and for the features of each network: FLOPs for each inner
# parameter of an update and of differentiating it, and arrays of memory as large as the
# parameters. Most tensors are matrices, whose factors in Adafactor's features are small.
_RULE_COSTS = {
    "sgd": (2, 3, 0),
    "sgdm": (4, 7, 1),
    "adam": (16, 34, 2),
    "mlp": (45, 82, 6),
    "adafactor_mlp": (120, 306, 4),
}
_RULE_WEIGHTS = {"sgd": 1, "sgdm": 2, "adam": 4, "mlp": 0, "adafactor_mlp": 7}
_FEATURES = {"mlp": 8, "adafactor_mlp": 28}
_TIME_FEATURES = 11


def _start_flops(config: InnerConfig, seen: ImageView, params: int) -> int:
    if config.initializer != "orthogonal":
        return 6 * params  # to draw a number
    inner = inner_config(config)
    if isinstance(inner, cnn.CNNConfig):
        widths = cnn.widths(inner)
        inputs = [9 * width for width in (seen.channels, *widths[:-1])]
    else:
        widths = [config.hidden_size] * config.num_layers + [seen.num_classes]
        inputs = [seen.pixels, *widths[:-1]]
    # Gram-Schmidt: each of the vectors twice through two products with all of them.
    short = [min(pair) for pair in zip(inputs, widths, strict=True)]
    long = [max(pair) for pair in zip(inputs, widths, strict=True)]
    return sum(8 * s * s * n + 15 * s * n for s, n in zip(short, long, strict=True))


def step_cost(config: InnerConfig, view: ImageView) -> StepCost:
    """Return the cost of an inner step in closed form.

    A product with data on its left costs one more for its gradient and two more for the gradient
    of both; one in between costs two and six more. With F and B the FLOPs of the forward and the
    backward pass, the reverse mode of the two is hence ``4 B - 2 F``.
    """
    inner, batch = inner_config(config), config.inner_batch_size
    if isinstance(inner, cnn.CNNConfig):
        task = cnn.cost(inner, view, batch)
    else:
        task = mlp.cost(inner, view, batch)
    forward = task.eval_flops_per_example * batch
    backward = task.flops - forward
    update, reverse, memory = (task.params * each for each in _RULE_COSTS[config.rule])
    weights, kernels, kept = _RULE_WEIGHTS[config.rule], 3, 4 * task.params
    if config.rule in _FEATURES:
        seen = _FEATURES[config.rule]
        width, first = seen, True
        for columns in (*[config.rule_hidden_size] * config.rule_hidden_layers, 2):
            product = 2 * task.params * width * columns
            # bias and relu; the bias' gradient
            update += product + 2 * task.params * columns
            reverse += 2 * product + 2 * task.params * columns
            weights += (width + first * _TIME_FEATURES + 1) * columns
            kept += task.params * (width + columns)
            width, first = columns, False
            kernels += 2
    return StepCost(
        forward=forward + backward + update,
        reverse=4 * backward - 2 * forward + reverse,
        carry_floats=task.params + memory,
        kept_floats=task.activation_bytes // BYTES_PER_FLOAT + kept,
        kernels=task.kernels + kernels,
        weights=weights,
        start=_start_flops(config, view, task.params),
    )


def _outer_cost(
    view: ImageView,
    batch_size: int,
    step: StepCost,
    *,
    flops: int,
    evaluation_flops: int,
    floats_moved: int,
    floats_kept: int,
    kernels: int,
) -> Cost:
    """Return the cost of an outer step, given what it takes without the batch."""
    batch = batch_size * (view.pixels + 1)
    return Cost(
        flops=flops,
        bytes=BYTES_PER_FLOAT * (floats_moved + 2 * batch),
        params=step.weights,
        activation_bytes=BYTES_PER_FLOAT * (floats_kept + batch),
        eval_flops_per_example=evaluation_flops // batch_size,
        kernels=kernels,
    )


def cost(config: LearnedOptimizerConfig, view: ImageView, batch_size: int) -> Cost:
    """Return the cost of a step of the family "learned_optimizer".

    With the gradient through the unroll, every inner step is done twice and differentiated once.
    """
    step = step_cost(config, view)
    unrolls = config.problems
    each = config.unroll_length * step.forward + step.start
    if config.es_pairs:
        passes = 1 + 2 * config.es_pairs
        flops = passes * unrolls * each
        kept = passes * unrolls * (step.carry_floats + step.kept_floats)
        kernels = 2 * config.unroll_length * step.kernels
    else:
        flops = unrolls * (each + config.unroll_length * (step.forward + step.reverse))
        kept = unrolls * (config.unroll_length * step.carry_floats + step.kept_floats)
        kernels = 4 * config.unroll_length * step.kernels
    return _outer_cost(
        view,
        batch_size,
        step,
        flops=flops,
        evaluation_flops=unrolls * each,
        floats_moved=(flops // max(step.forward, 1)) * 3 * (step.carry_floats + step.kept_floats),
        floats_kept=kept,
        kernels=kernels,
    )


def persistent_cost(config: LearnedOptimizerPESConfig, view: ImageView, batch_size: int) -> Cost:
    """Return the cost of a step of "learned_optimizer_pes": two unrolls for each inner problem."""
    step = step_cost(config, view)
    each = 2 * config.unroll_length * step.forward + config.restarts * step.start
    flops = config.problems * (each + 20 * step.weights)
    kept = 2 * config.problems * (step.carry_floats + step.kept_floats)
    return _outer_cost(
        view,
        batch_size,
        step,
        flops=flops,
        evaluation_flops=flops,
        floats_moved=3 * config.unroll_length * kept,
        floats_kept=kept,
        kernels=2 * config.unroll_length * step.kernels,
    )


_SHRINK = {
    "hidden_size": 8,
    "rule_hidden_size": 2,
    "inner_batch_size": 4,
    "unroll_length": 2,
    "problems": 1,
    "image_size": 4,
    "batch_size": 128,
}

unrolled = Family(
    name="learned_optimizer",
    config=LearnedOptimizerConfig,
    view=view,
    batch_size=log_int(128, 1024),
    cost=cost,
    build="velodrome.taskgen.families.learned_optimizer.es:build",
    shrink=_SHRINK,
)

persistent = Family(
    name="learned_optimizer_pes",
    config=LearnedOptimizerPESConfig,
    view=view,
    batch_size=log_int(128, 1024),
    cost=persistent_cost,
    build="velodrome.taskgen.families.learned_optimizer.pes:build",
    shrink=_SHRINK,
)
