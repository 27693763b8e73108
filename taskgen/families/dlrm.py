"""Rows of numbers and hashed categories, by a DLRM (workload ``criteo1tb`` of MLCommons).

One table of embeddings serves all columns of categories; the products of all pairs of vectors go
into an MLP (Naumov et al. 2019, 1906.00091), in the form of the reference. The defaults are the
workload's: 539,267,457 parameters, nearly all of them in the table.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import HashedTableView


def _width(published: int) -> Any:
    return static(log_int(8, 128), allowed=(0, 65_536), default=published)


@dataclass(frozen=True)
class DLRMConfig:
    """Config of the family "dlrm"; the distributions are ours.

    Attributes:
      vocab_size: Rows of the table of embeddings; larger hashes wrap.
      embed_size: Size of an embedding, and of the last layer of the bottom MLP.
      bottom_1: Width of the first layer of the MLP of the numbers; likewise ``bottom_2``. 0 leaves
        a layer out.
      top_1: Width of the first layer of the MLP that decides; likewise ``top_2`` to ``top_4``.
      dropout: Rate after the last of these layers, while training.
    """

    vocab_size: int = static(log_int(256, 16_384), allowed=(2, 2**31 - 1), default=4_194_304)
    embed_size: int = static(choice((4, 8, 16, 32)), allowed=(1, 4096), default=128)
    bottom_1: int = _width(512)
    bottom_2: int = _width(256)
    top_1: int = _width(1024)
    top_2: int = _width(1024)
    top_3: int = _width(512)
    top_4: int = _width(256)
    dropout: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)


def bottom_sizes(config: DLRMConfig, view: HashedTableView) -> list[int]:
    """Return the sizes of the bottom MLP's layers, from the numbers to a vector."""
    hidden = [width for width in (config.bottom_1, config.bottom_2) if width]
    return [view.columns, *hidden, config.embed_size]


def top_sizes(config: DLRMConfig, view: HashedTableView) -> list[int]:
    """Return the sizes of the top MLP's layers, from a vector and all products to the logit."""
    widths = (config.top_1, config.top_2, config.top_3, config.top_4)
    return [config.embed_size + products(view), *[width for width in widths if width], 1]


def products(view: HashedTableView) -> int:
    """Return the pairs of vectors: those of categories and that of the numbers, each with itself
    too.
    """
    vectors = view.categories + 1
    return vectors * (vectors + 1) // 2


def cost(config: DLRMConfig, view: HashedTableView, batch_size: int) -> Cost:
    sheet, rows, size = CostSheet(), batch_size, config.embed_size
    vectors = view.categories + 1
    gradients = 1
    bottom, top = bottom_sizes(config, view), top_sizes(config, view)
    for n_in, n_out in itertools.pairwise(bottom):
        sheet.dense(rows, n_in, n_out, gradients=gradients)
        costing.activate(sheet, rows * n_out, "relu")
        gradients = 2
    costing.embedding(sheet, tokens=rows * view.categories, vocab_size=view.vocab_size, size=size)
    sheet.product(vectors, size, vectors, times=rows)
    # Both operands of the products are the vectors; the upper triangle is picked.
    sheet.elementwise(rows * vectors * size, forward=0, backward=1, saved=0)
    sheet.elementwise(rows * products(view), forward=0, backward=1, saved=0)
    sheet.elementwise(rows * size, forward=0, backward=1, saved=0)
    for n_in, n_out in itertools.pairwise(top[:-1]):
        sheet.dense(rows, n_in, n_out)
        costing.activate(sheet, rows * n_out, "relu")
    if len(top) > 2:  # there is a hidden layer, whose results may be dropped
        costing.drop(sheet, rows * top[-2], config.dropout)
    sheet.dense(rows, top[-2], top[-1])
    sheet.elementwise(rows, forward=10, backward=8)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="dlrm",
    config=DLRMConfig,
    network="velodrome.taskgen.families.networks.dlrm:DLRM",
    data_kind="hashed_table",
    batch_size=log_int(16, 1024),
    cost=cost,
    shrink={"vocab_size": 256, "top_1": 8, "top_2": 8, "bottom_1": 8, "batch_size": 4},
)
