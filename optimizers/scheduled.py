"""Optimizers from optax whose schedules are a part of them: AdEMAMix, Prodigy, schedule-free AdamW.

They have their authors' settings, and know the length of the run.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from velodrome.optimizers.cosine import WARM_UP, schedule
from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

#: A number of the sweep, which may be a tracer.
Number: TypeAlias = float | jax.Array


def _ademamix(
    learning_rate: Number,
    num_steps: int,
    beta3: float = 0.9999,
    alpha: float = 8.0,
    weight_decay: float = 0.1,
) -> optax.GradientTransformation:
    """AdEMAMix with both schedules as long as the run, as its authors set them."""

    def decay(made: ArrayLike) -> Float[Array, ""]:
        return slow_decay(jnp.asarray(made + 1) / num_steps, beta3)

    def share(made: ArrayLike) -> Float[Array, ""]:
        return jnp.minimum(1.0, (made + 1) / num_steps) * alpha

    made = optax.contrib.ademamix(
        learning_rate, b1=0.9, b2=0.999, b3=decay, alpha=share, eps=1e-8, weight_decay=weight_decay
    )
    return in_float32(made)  # the schedules would make updates of half precision float32


def slow_decay(done: Number, beta3: float, start: float = 0.9) -> Float[Array, ""]:
    """Return the decay of the slow average after a share of the run: from ``start`` to ``beta3``.

    Its half-life grows linearly (equation 5 of the paper).
    """
    first, last = math.log(start), math.log(beta3)
    return jnp.minimum(jnp.exp(first * last / ((1 - done) * last + done * first)), beta3)


def _prodigy(
    num_steps: int, estim_lr_coef: Number = 1.0, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Prodigy, which estimates its rate; the schedule is the factor that its authors want."""
    return optax.contrib.prodigy(
        schedule(num_steps),
        betas=(0.9, 0.999),
        eps=1e-8,
        estim_lr0=1e-6,
        estim_lr_coef=estim_lr_coef,
        weight_decay=weight_decay,
        safeguard_warmup=True,  # for schedules that begin low
    )


def _schedule_free_adamw(
    learning_rate: Number, num_steps: int, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    return optax.contrib.schedule_free_adamw(
        learning_rate,
        warmup_steps=max(1, round(WARM_UP * num_steps)),
        b1=0.9,
        b2=0.999,
        eps=1e-8,
        weight_decay=weight_decay,
    )


# Pagliardini et al. 2024 (arXiv 2409.03137), section 4: their settings for language models.
ademamix = OptimizerSpec(
    name="ademamix",
    label="AdEMAMix",
    factory=_ademamix,
    grid={"learning_rate": LEARNING_RATES},
    traced=frozenset({"learning_rate"}),
    needs=frozenset({"num_steps"}),
)
# Mishchenko and Defazio 2023 (arXiv 2306.06101) and github.com/konstmish/prodigy: the coefficient
# is what to change, "0.5 or 2", if the estimate is not right; nothing has to be swept.
prodigy = OptimizerSpec(
    name="prodigy",
    label="Prodigy (cosine)",
    factory=_prodigy,
    traced=frozenset({"estim_lr_coef"}),
    needs=frozenset({"num_steps"}),
    identity={"schedule": f"cosine, {WARM_UP:g} warm-up"},
)
# Defazio et al. 2024 (arXiv 2405.15682): a warm-up belongs to the method, a falling rate does not.
schedule_free_adamw_warmup = OptimizerSpec(
    name="schedule_free_adamw_warmup",
    label="Schedule-Free AdamW (warm-up)",
    factory=_schedule_free_adamw,
    grid={"learning_rate": LEARNING_RATES},
    traced=frozenset({"learning_rate"}),
    needs=frozenset({"num_steps"}),
    identity={"schedule": f"{WARM_UP:g} warm-up"},
)
