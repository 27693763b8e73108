"""Translations by a task of the family "wmt_transformer", and their BLEU, also along runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from velodrome.foundation.errors import DataError, SpecError, VelodromeError
from velodrome.foundation.extras import optional
from velodrome.taskgen.corpus import Model
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.families.networks.wmt_transformer import Memory, WMTTransformer
from velodrome.taskgen.families.wmt_transformer import WMTTransformerConfig
from velodrome.taskgen.functions import Batch
from velodrome.taskgen.nn.decoding import beam_search, greedy
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import PairView

END = 2
"""The token after which a sentence is over, in data sets of pairs that come with this package."""

BEAMS, ALPHA = 4, 0.6
"""Beams, and the exponent of the length penalty, in the workload."""


def translate(
    spec: TaskSpec,
    params: PyTree,
    source: jax.Array,
    *,
    beams: int = BEAMS,
    alpha: float = ALPHA,
    end: int = END,
) -> jax.Array:
    """Return translations i32[B,T] of sources i32[B,S], padded with 0 after ``end``.

    Args:
      spec: A task of the family "wmt_transformer".
      params: Its parameters.
      beams: 1 takes the likeliest token each time; more is `beam_search`.
      alpha: Of the length penalty of `beam_search`.

    Raises:
      SpecError: The task is of another family.
    """
    config, view = spec.config, spec.view
    if not isinstance(config, WMTTransformerConfig) or not isinstance(view, PairView):
        raise SpecError("family", spec.family, "'wmt_transformer'")
    translator = _translator(config, view, spec.precision.matmul, beams, alpha, end)
    return translator(params, jnp.asarray(source))


@functools.lru_cache(maxsize=8)
def _translator(
    config: WMTTransformerConfig,
    view: PairView,
    precision: str,
    beams: int,
    alpha: float,
    end: int,
) -> Callable[[PyTree, jax.Array], jax.Array]:
    """Return a compiled function of parameters and sources."""
    graph, _ = nnx.split(
        nnx.eval_shape(lambda: WMTTransformer(config, view, rngs=nnx.Rngs(0), dynamic={})),
        nnx.Param,
    )

    @jax.jit
    @jax.default_matmul_precision(precision)  # as in training: a GPU may round to TF32 by default
    def run(params: PyTree, source: jax.Array) -> jax.Array:
        network = nnx.merge(graph, params)
        return search(network, source, view.target_length, beams=beams, alpha=alpha, end=end)

    return run


def search(
    network: WMTTransformer, source: jax.Array, length: int, *, beams: int, alpha: float, end: int
) -> jax.Array:
    """Return translations i32[B,length] by a network; see `translate`."""
    memories, source_mask = network.start(source, length)

    def step(
        memory: tuple[tuple[Memory, ...], jax.Array], token: jax.Array, time: jax.Array
    ) -> tuple[jax.Array, tuple[tuple[Memory, ...], jax.Array]]:
        memories, mask = memory
        logits, memories = network.step(memories, mask, token, time)
        return logits, (memories, mask)

    start = (memories, source_mask)
    sizes = {"count": source.shape[0], "length": length, "end": end}
    if beams == 1:
        return greedy(step, start, **sizes)
    return beam_search(step, start, beams=beams, alpha=alpha, **sizes)


def collect(model: Model, batch: Batch, view: PairView) -> Batch:
    """Return translations and references i32[B,T], by beam search as in the workload."""
    found = search(
        model.network, batch["source"], view.target_length, beams=BEAMS, alpha=ALPHA, end=END
    )
    return {"translation": found, "reference": batch["target"]}


def check_bleu(dataset: Dataset) -> None:
    """See that `score` has what it needs.

    Raises:
      DataError: Nobody knows which text the tokens of the data set stand for, or its vocabulary is
        not here.
      VelodromeError: The extra ``mlcommons`` is not installed.
    """
    _import_sacrebleu()
    _decoder(dataset)([END])  # the first call reads the vocabulary


def score(collected: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
    """Return the BLEU of collected translations.

    Raises:
      DataError: Nobody knows which text the tokens of the data set stand for.
    """
    decode = _decoder(dataset)
    texts = {
        name: [decode(row) for row in collected[name].tolist()]
        for name in ("translation", "reference")
    }
    return {"bleu": bleu(texts["translation"], texts["reference"])}


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the corpus BLEU of texts, from 0 to 100: 13a tokens, exponential smoothing, cased.

    Raises:
      VelodromeError: There are not as many translations as references, or the extra ``mlcommons``
        is not installed.
    """
    if len(translations) != len(references):
        raise VelodromeError(
            f"there are {len(translations)} translations, but {len(references)} references."
        )
    return _import_sacrebleu().corpus_bleu(list(translations), [list(references)]).score


def _import_sacrebleu() -> ModuleType:
    return optional("sacrebleu", extra="mlcommons", needed_by="BLEU")


def _decoder(dataset: Dataset) -> Callable[[Sequence[int]], str]:
    if dataset.decode is None:
        raise DataError(
            f"BLEU is of texts, and the data set {dataset.name!r} does not say what its tokens "
            "stand for: give velodrome.Dataset a function `decode`."
        )
    return dataset.decode
