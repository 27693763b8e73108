"""Adam and its friends from optax, with the settings and the sweep they are published with.

Settings: Metz et al. 2022 (arXiv 2211.09760) and its code release; only the learning rate varies.
Lion (arXiv 2302.06675), Muon and Schedule-Free (arXiv 2405.15682) are later than that paper and
have their authors' settings, over the same rates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

#: A learning rate, which may be a tracer.
Rate: TypeAlias = float | jax.Array


def _swept(name: str, label: str, factory: Callable[..., Any], **fields: Any) -> OptimizerSpec:
    return OptimizerSpec(
        name=name,
        label=label,
        factory=factory,
        grid={"learning_rate": LEARNING_RATES},
        traced=frozenset({"learning_rate"}),
        **fields,
    )


# The epsilon inside the root matters: no gradient is taken for smaller than 1e-4.
_published_adam = partial(optax.adam, b1=0.9, b2=0.999, eps=1e-8, eps_root=1e-8)


def _adam_sqrt_decay(learning_rate: Rate) -> optax.GradientTransformation:
    """Adam with ``rate * min(t / 1000, sqrt(1000 / t))`` after ``t`` updates; ``t = 1`` at first.

    So the first two updates have the same rate: as published.
    """

    def schedule(count: Any) -> Any:
        step = jnp.maximum(jnp.asarray(count, jnp.float32), 1.0)
        return learning_rate * jnp.minimum(step / 1000.0, jnp.sqrt(1000.0 / step))

    return _published_adam(schedule)


def _adam_exp_decay(learning_rate: Rate) -> optax.GradientTransformation:
    """Adam with ``rate * (1 - 7e-5) ** t``: a thousandth of the rate after 100,000 updates."""

    def schedule(count: Any) -> Any:
        return learning_rate * jnp.exp(
            jnp.log1p(jnp.float32(-7e-5)) * jnp.asarray(count, jnp.float32)
        )

    return _published_adam(schedule)


def _sm3(learning_rate: Rate, *, b2: float) -> optax.GradientTransformationExtraArgs:
    """SM3 with momentum 0.9, also of scalars and of arrays without elements.

    Both go in as vectors of one element, because optax's SM3 has no rule for them.
    """
    inner = optax.chain(
        optax.scale_by_sm3(b1=0.9, b2=b2, eps=1e-8), optax.scale_by_learning_rate(learning_rate)
    )

    def wide(leaf: Any) -> jax.Array:
        return jnp.atleast_1d(leaf) if jnp.size(leaf) else jnp.zeros((1,), jnp.result_type(leaf))

    def init(params: Any) -> Any:
        return inner.init(jax.tree.map(wide, params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        del params, extra
        changes, state = inner.update(jax.tree.map(wide, updates), state)
        back = jax.tree.map(
            lambda new, old: new[: jnp.size(old)].reshape(jnp.shape(old)), changes, updates
        )
        return back, state

    return optax.GradientTransformationExtraArgs(init, update)


adam = _swept("adam", "Adam", _published_adam)
adam_sqrt_decay = _swept("adam_sqrt_decay", "Adam (sqrt decay)", _adam_sqrt_decay, version=2)
adam_exp_decay = _swept("adam_exp_decay", "Adam (exp decay)", _adam_exp_decay)
adamw = _swept(
    "adamw",
    "AdamW",
    partial(optax.adamw, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, weight_decay=1e-4),
)
nadamw = _swept(
    "nadamw",
    "NAdamW",
    partial(optax.nadamw, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, weight_decay=1e-4),
)
radam = _swept("radam", "RAdam", partial(optax.radam, b1=0.9, b2=0.999, eps=1e-8, threshold=5.0))
adabelief = _swept(
    "adabelief",
    "AdaBelief",
    partial(optax.adabelief, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16),
)
yogi = _swept("yogi", "Yogi", partial(optax.yogi, b1=0.9, b2=0.999, eps=1e-3))
lamb = _swept("lamb", "LAMB", partial(optax.lamb, b1=0.9, b2=0.999, eps=1e-6, weight_decay=0.0))
sgd = _swept("sgd", "SGD", optax.sgd)
sgdm = _swept("sgdm", "SGD + momentum", partial(optax.sgd, momentum=0.9, nesterov=False))
rmsprop = _swept("rmsprop", "RMSProp", partial(optax.rmsprop, decay=0.9, eps=1e-8, momentum=0.0))
rmsprop_momentum = _swept(
    "rmsprop_momentum",
    "RMSProp + momentum",
    partial(optax.rmsprop, decay=0.9, eps=1e-8, momentum=0.9),
)
adagrad = _swept(
    "adagrad", "AdaGrad", partial(optax.adagrad, initial_accumulator_value=0.1, eps=1e-7)
)
adafactor = _swept(
    "adafactor",
    "Adafactor",
    partial(
        optax.adafactor,
        min_dim_size_to_factor=128,
        decay_rate=0.8,
        decay_offset=0,
        multiply_by_parameter_scale=True,
        clipping_threshold=1.0,
        momentum=None,
        weight_decay_rate=None,
        eps=1e-30,
        factored=True,
    ),
)
lars = _swept(
    "lars",
    "LARS",
    partial(optax.lars, weight_decay=0.0, trust_coefficient=0.001, eps=0.0, momentum=0.9),
)
fromage = _swept("fromage", "Fromage", partial(optax.fromage, min_norm=1e-6))
sm3 = _swept("sm3", "SM3", partial(_sm3, b2=1.0))
sm3_b2 = _swept("sm3_b2", "SM3 (b2 0.999)", partial(_sm3, b2=0.999))
lion = _swept("lion", "Lion", partial(optax.lion, b1=0.9, b2=0.99, weight_decay=1e-3))
muon = _swept("muon", "Muon", optax.contrib.muon)
schedule_free_adamw = _swept(
    "schedule_free_adamw",
    "Schedule-Free AdamW",
    partial(optax.contrib.schedule_free_adamw, b1=0.9, b2=0.999, eps=1e-8),
)
