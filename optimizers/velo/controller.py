"""The per-tensor network: an LSTM that reads statistics and writes per-parameter networks.

As published (Metz et al. 2022, arXiv 2211.09760; class ``HyperV2`` of google/learned_optimization)
it is ``gates = [project(x) + v, h] @ lstm_w + lstm_b`` with ``v`` the maximum over tensors of
``relu(pool(x))``, and the weights of a tensor's per-parameter network are 100 times the mean over
the bank of ``bank_k * controls_k``. All of this between two nonlinearities is linear, so `fold`
multiplies it out once: 2.4 instead of 4.6 MFLOP a tensor at the published size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from velodrome.optimizers.velo.network import published_order
from velodrome.optimizers.velo.reads import USED_OUTPUTS
from velodrome.optimizers.velo.weights.tree import VeLOWeights

#: The mixture of the bank is a mean times this.
MIXTURE_SCALE = 100.0

_Arrays: TypeAlias = Any  # of NumPy, or of jax where weights are traced

Tree = TypeVar("Tree")


class Controller(NamedTuple):
    """`VeLOWeights` with the linear maps between nonlinearities multiplied out.

    The first units of the LSTM are those whose outputs are remembered, because gates of the next
    update read them. In the published weights, all are.
    """

    initial_hidden: Float[Array, " remembered"]
    initial_cell: Float[Array, " hidden"]
    input_w: Float[Array, "inputs pooled_and_gates"]
    pool_b: Float[Array, " pooled"]
    gates_b: Float[Array, " gates"]
    pooled_w: Float[Array, "pooled gates"]
    hidden_w: Float[Array, "remembered gates"]
    head_w: Float[Array, "hidden outputs"]
    head_b: Float[Array, " outputs"]


class LSTMState(NamedTuple):
    """State of the per-tensor LSTM, one row a tensor; ``hidden`` is None if no gate reads it."""

    hidden: PyTree[Float[Array, "tensor remembered"]]
    cell: Float[Array, "tensor hidden"]


@runtime_checkable
class RecurrentWeights(Protocol):
    """Weights of an LSTM as VeLO has it, without the layer that it writes networks by."""

    @property
    def initial_hidden(self) -> _Arrays: ...
    @property
    def initial_cell(self) -> _Arrays: ...
    @property
    def pool_w(self) -> _Arrays: ...
    @property
    def pool_b(self) -> _Arrays: ...
    @property
    def project_w(self) -> _Arrays: ...
    @property
    def project_b(self) -> _Arrays: ...
    @property
    def lstm_w(self) -> _Arrays: ...
    @property
    def lstm_b(self) -> _Arrays: ...


@runtime_checkable
class BankWeights(Protocol):
    """Weights of a bank of per-parameter networks."""

    @property
    def bank_w0(self) -> _Arrays: ...
    @property
    def bank_b0(self) -> _Arrays: ...
    @property
    def bank_w1(self) -> _Arrays: ...
    @property
    def bank_b1(self) -> _Arrays: ...
    @property
    def bank_w2(self) -> _Arrays: ...
    @property
    def bank_b2(self) -> _Arrays: ...


def fold(weights: VeLOWeights, *, mixture_scale: float = MIXTURE_SCALE) -> Controller:
    """Return the controller that computes what the network with ``weights`` computes.

    Frozen weights are multiplied in float64, traced ones (as in meta-training) in float32.
    """
    wide = widened(weights)
    networks = flat_networks(wide) * (mixture_scale / weights.bank_size)
    xp = module_of(wide.controls_w)
    return folded(
        wide,
        head_w=xp.concatenate([_product(wide.controls_w, networks), wide.step_size_w], axis=1),
        head_b=xp.concatenate([_product(wide.controls_b[None], networks)[0], wide.step_size_b]),
    )


def folded(wide: RecurrentWeights, *, head_w: _Arrays, head_b: _Arrays) -> Controller:
    """Return a controller of `widened` weights, and of what maps the LSTM's units to outputs."""
    xp = module_of(wide.lstm_w)
    hidden = wide.initial_hidden.shape[-1]
    lstm_input_w, lstm_hidden_w = wide.lstm_w[:hidden], wide.lstm_w[hidden:]
    made = Controller(
        initial_hidden=wide.initial_hidden,
        initial_cell=wide.initial_cell,
        input_w=xp.concatenate([wide.pool_w, _product(wide.project_w, lstm_input_w)], axis=1),
        pool_b=wide.pool_b,
        gates_b=_product(wide.project_b[None], lstm_input_w)[0] + wide.lstm_b,
        pooled_w=lstm_input_w,
        hidden_w=lstm_hidden_w,
        head_w=head_w,
        head_b=head_b,
    )
    return as_constants(made)


def widened(weights: Tree) -> Tree:
    """Return weights in float64, as NumPy arrays; traced ones in float32."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(weights))
    xp: Any = jnp if traced else np
    dtype = jnp.float32 if traced else np.float64
    return jax.tree.map(lambda leaf: xp.asarray(leaf, dtype), weights)


def as_constants(arrays: Tree) -> Tree:
    """Return arrays in float32 on the device, as constants also where a program is traced."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arrays))
    with nullcontext() if traced else jax.ensure_compile_time_eval():
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), arrays)


def flat_networks(wide: BankWeights) -> _Arrays:
    """Return each network of a bank as one row (`reads.PARTS`), without the step size."""
    parts = (
        wide.bank_w0[:, published_order()],
        wide.bank_b0,
        wide.bank_w1,
        wide.bank_b1,
        wide.bank_w2[:, :, :USED_OUTPUTS],
        wide.bank_b2[:, :USED_OUTPUTS],
    )
    rows = [part.reshape(part.shape[0], -1) for part in parts]
    return module_of(wide.bank_w0).concatenate(rows, axis=1)


def module_of(array: _Arrays) -> Any:
    """Return the module that computes with arrays of this kind: NumPy or jax.numpy."""
    return np if isinstance(array, np.ndarray) else jnp


def _product(a: _Arrays, b: _Arrays) -> _Arrays:
    if isinstance(a, np.ndarray):
        return a @ b
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def initial_state(controller: Controller, tensors: int) -> LSTMState:
    """Return the learned initial state, once for each of ``tensors`` tensors."""
    hidden = jnp.tile(controller.initial_hidden[None], (tensors, 1))
    cell = jnp.tile(controller.initial_cell[None], (tensors, 1))
    return LSTMState(_remembered(controller, hidden), cell)


def control(
    controller: Controller, inputs: Sequence[Float[Array, "_ _"]], state: LSTMState
) -> tuple[Float[Array, "tensor flat"], LSTMState]:
    """Advance the LSTM by one update; return each tensor's flat network (`reads.PARTS`).

    Tensors see each other only through one maximum over all of them, so their order is free.

    Args:
      inputs: In parts, along the second axis; a part may have one row for all tensors.
    """
    size = controller.pool_b.shape[0]
    ends = np.cumsum([part.shape[1] for part in inputs])
    weights = jnp.split(controller.input_w, ends[:-1])
    products = (_matmul(part, w) for part, w in zip(inputs, weights, strict=True))
    projected = functools.reduce(jnp.add, products)
    pooled = jnp.max(jax.nn.relu(projected[:, :size] + controller.pool_b[None]), axis=0)
    shared = _matmul(pooled[None], controller.pooled_w) + controller.gates_b[None]
    gates = projected[:, size:] + shared
    if state.hidden is not None:
        gates += _matmul(state.hidden, controller.hidden_w)
    write, candidate, forget, read = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(forget + 1.0) * state.cell + jax.nn.sigmoid(write) * jnp.tanh(candidate)
    hidden = jax.nn.sigmoid(read) * jnp.tanh(cell)
    outputs = _matmul(hidden, controller.head_w) + controller.head_b[None]
    return outputs, LSTMState(_remembered(controller, hidden), cell)


def _remembered(
    controller: Controller, hidden: Float[Array, "tensor hidden"]
) -> Float[Array, "tensor remembered"] | None:
    count = controller.hidden_w.shape[0]
    return hidden[:, :count] if count else None


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
