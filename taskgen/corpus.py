"""Corpus metrics: of all examples of an evaluation together, and no mean over them.

Such are BLEU, an average precision, and errors over the words of all sentences. What they need of
each example is collected on the device, and scored on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from velodrome.foundation.errors import SpecError


@dataclass(frozen=True)
class Model:
    """A network with the parameters that are evaluated, as it is used: without dropout.

    Attributes:
      network: The Flax module, for what its ``__call__`` does not do, such as decoding.
      run: Calls it with the inputs of the batch.
    """

    network: Any
    run: Callable[[], Any]

    @cached_property
    def outputs(self) -> Any:
        """What the network returns for the batch, as objectives take it."""
        return self.run()


@dataclass(frozen=True)
class CorpusMetrics:
    """What a family is measured by on all held-out examples together.

    Functions may be given as import strings ``module:name``, as those of a
    `velodrome.Family`.

    Args:
      names: The metrics, as curves call them.
      collect: ``collect(model, batch, view)`` returns a dictionary of arrays, whose first axis is
        that of the batch. ``model.outputs`` is what the network returns for the batch, and
        ``model.network`` the module. It runs on the device, inside ``jit`` and ``vmap``.
      score: ``score(collected, dataset)`` returns a number for each name, from NumPy arrays with
        all examples; NaN where there is none. Runs whose loss is not finite have NaN without it.
      check: ``check(dataset)`` raises a `velodrome.VelodromeError` where ``score`` could not be
        computed, as for want of a library. It is called before a run starts.

    Raises:
      SpecError: There is no name, or "loss" is among them.

    Examples:
      >>> velodrome.families.get("gnn").corpus_metrics.names
      ('mean_average_precision',)
    """

    names: tuple[str, ...]
    collect: Callable[..., Mapping[str, Any]] | str
    score: Callable[..., Mapping[str, float]] | str
    check: Callable[..., None] | str | None = None

    def __post_init__(self) -> None:
        names = self.names
        fine = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
        if not names or not fine or "loss" in names or len(set(names)) < len(names):
            allowed = 'a tuple of different names, such as ("bleu",), without "loss"'
            raise SpecError("corpus_metrics.names", names, allowed)
