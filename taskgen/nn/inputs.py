"""What a network is called with: fields of a batch."""

from __future__ import annotations

import jax

from velodrome.taskgen.functions import Batch
from velodrome.taskgen.nn.losses import fold_tokens
from velodrome.taskgen.views import TextView, View


def fields(batch: Batch, view: View) -> jax.Array | dict[str, jax.Array]:
    """Return the fields that the view names; alone if it is one, else as a dictionary."""
    if len(view.input_names) == 1:
        return batch[view.input_names[0]]
    return {name: batch[name] for name in view.input_names}


def folded_tokens(batch: Batch, view: TextView) -> jax.Array:
    """Return tokens i32[B,T], folded into the vocabulary of the view."""
    return fold_tokens(batch["obs"], view.vocab_size)
