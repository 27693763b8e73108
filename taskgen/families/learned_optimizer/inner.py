"""The inner problem of tasks that train a learned optimizer: its config, one step, and its cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from velodrome.taskgen.cost.sheet import BYTES_PER_FLOAT, Cost
from velodrome.taskgen.families import cnn, mlp
from velodrome.taskgen.family import ImageView
from velodrome.taskgen.nn import activations, initializers
from velodrome.taskgen.space.config import (
    boolean,
    choice,
    config_fields,
    dynamic,
    fixed,
    log_float,
    log_int,
    static,
)
from velodrome.taskgen.spec import TaskSpec

RULES = ("adam", "sgdm", "sgd", "mlp", "adafactor_mlp")
INNER = {"mlp": mlp, "cnn": cnn}


@dataclass(frozen=True)
class InnerConfig:
    """The inner problem; distributions of Metz et al. 2022 (arXiv 2211.09760), family ``lopt``.

    Attributes:
      inner: Family of the inner task. Its fields, from ``hidden_size`` to ``grey``, have the
        meaning they have there; "mlp" ignores those of "cnn" and the other way round.
      inner_batch_size: Examples in an inner batch.
      rule: The update rule that is trained: the numbers of Adam, of gradient descent with
        momentum or without, a per-parameter network, or one with Adafactor's features.
      rule_hidden_size: Width of the network's hidden layers.
      rule_hidden_layers: Number of them.
      step_multiplier: Factor of a network's steps.
      exp_multiplier: Factor of a network's magnitude, in the exponent.
    """

    inner: str = static(fixed("mlp"), allowed=tuple(INNER), default="mlp")
    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=1)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = activations.activation_field()
    initializer: str = initializers.initializer_field(default="truncated")
    init_scale: float = initializers.init_scale_field()
    first_hidden_size: int = static(fixed(0), allowed=(0, 4096), default=0)
    num_stride2: int = static(fixed(1), allowed=(0, 8), default=1)
    grey: bool = static(boolean(0), default=False)
    inner_batch_size: int = static(log_int(4, 512), allowed=(1, 65_536), default=128)
    rule: str = static(choice(RULES), allowed=RULES, default="adafactor_mlp")
    rule_hidden_size: int = static(log_int(2, 512), allowed=(1, 4096), default=4)
    rule_hidden_layers: int = static(log_int(1, 4), allowed=(0, 64), default=2)
    step_multiplier: float = dynamic(log_float(1e-5, 1.0), allowed=(1e-9, 1e3), default=1e-3)
    exp_multiplier: float = dynamic(log_float(1e-5, 1.0), allowed=(1e-9, 1e3), default=1e-3)


def inner_spec(spec: TaskSpec) -> TaskSpec:
    """Returns the spec of the inner task."""
    family = INNER[spec.config.inner].family
    return dataclasses.replace(
        spec,
        family=family.name,
        version=family.version,
        config=inner_config(spec.config),
        batch_size=spec.config.inner_batch_size,
        name="",
    )


def inner_config(config: InnerConfig) -> Any:
    """Returns the inner task's config: the fields that it shares with ``config``."""
    kind = INNER[config.inner].family.config
    shared = config_fields(kind).keys() & config_fields(type(config)).keys()
    return kind(**{name: getattr(config, name) for name in shared})


def view(config: InnerConfig, info: Any) -> ImageView:
    """Returns how the inner task sees a data set."""
    return ImageView(config.image_size, 1 if config.grey else info.shape[2], info.num_classes)


class InnerProblem(NamedTuple):
    """Programs of an inner problem. A carry is a dictionary of arrays: where training stands.

    Attributes:
      rule: The update rule.
      start: ``start(key, dynamic)`` returns the carry before the first step.
      step: ``step(weights, carry, key, batch, dynamic)`` returns the carry after an update, and
        the clipped training loss before it.
    """

    rule: Any
    start: Callable[..., dict[str, Any]]
    step: Callable[..., tuple[dict[str, Any], Any]]


def open_inner(spec: TaskSpec, info: Any) -> InnerProblem:
    """Builds the programs of the inner problem of ``spec``."""
    import jax  # here, so that sampling needs no jax
    import jax.numpy as jnp

    from velodrome.taskgen.families.learned_optimizer.rules import make_rule

    config = spec.config
    inner = inner_spec(spec)
    task = inner.family_object.build(inner, info)
    rule = make_rule(
        config.rule,
        hidden_size=config.rule_hidden_size,
        hidden_layers=config.rule_hidden_layers,
    )
    worst = 1.5 * jnp.log(float(info.num_classes))

    def clipped(loss: Any) -> Any:
        return jnp.clip(jnp.where(jnp.isfinite(loss), loss, worst), 0.0, worst)

    def start(key: Any, dynamic: Any) -> dict[str, Any]:
        params, state = task.init(key, dynamic)
        memory = rule.start(jax.tree.leaves(params))
        return {"params": params, "state": state, "memory": memory, "iteration": jnp.int32(0)}

    def step(weights: Any, carry: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        (loss, state), gradient = jax.value_and_grad(task.loss, has_aux=True)(
            carry["params"], carry["state"], key, batch, train=True, dynamic=dynamic
        )
        tensors, structure = jax.tree.flatten(carry["params"])
        moved, memory = rule.update(
            weights,
            carry["memory"],
            tensors,
            jax.tree.leaves(gradient),
            carry["iteration"],
            _value("step_multiplier", dynamic, config),
            _value("exp_multiplier", dynamic, config),
        )
        after = {
            "params": jax.tree.unflatten(structure, moved),
            "state": state,
            "memory": memory,
            "iteration": carry["iteration"] + 1,
        }
        return after, clipped(loss)

    return InnerProblem(rule, start, step)


def _value(name: str, dynamic: Any, config: Any) -> Any:
    return (dynamic or {}).get(name, getattr(config, name))


def deal(batch: Any, rows: Any) -> Any:
    """Returns the examples ``rows`` i32[...] of a batch, counted past its end from its start."""
    import jax  # here, so that sampling needs no jax

    size = jax.tree.leaves(batch)[0].shape[0]
    return jax.tree.map(lambda leaf: leaf[rows % size], batch)


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
# parameters. Of Adafactor's features most tensors are matrices, whose factors are small.
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
    """Returns the FLOPs of initialising the inner parameters."""
    if config.initializer != "orthogonal":
        return 6 * params  # to draw a number
    if config.inner == "cnn":
        widths = cnn.widths(inner_config(config))
        inputs = [9 * width for width in (seen.channels, *widths[:-1])]
    else:
        widths = [config.hidden_size] * config.num_layers + [seen.num_classes]
        inputs = [seen.pixels, *widths[:-1]]
    # Gram-Schmidt: each of the vectors twice through two products with all of them.
    short = [min(pair) for pair in zip(inputs, widths, strict=True)]
    long = [max(pair) for pair in zip(inputs, widths, strict=True)]
    return sum(8 * s * s * n + 15 * s * n for s, n in zip(short, long, strict=True))


def step_cost(spec: TaskSpec, info: Any) -> StepCost:
    """Returns the cost of an inner step in closed form.

    A product with data on its left costs one more for its gradient and two more for the gradient
    of both; one in between costs two and six more. With F and B the FLOPs of the forward and the
    backward pass, the reverse mode of the two is hence ``4 B - 2 F``.
    """
    config = spec.config
    inner = inner_spec(spec)
    task: Cost = inner.family_object.cost(inner, info)
    forward = task.eval_flops_per_example * inner.batch_size
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
        start=_start_flops(config, view(config, info), task.params),
    )
