"""Graphs, each with questions of yes or no, by a graph network (workload ``ogbg`` of MLCommons).

Rounds of message passing (Battaglia et al. 2018, 1806.01261) over edges, nodes and a vector of the
whole graph, in the form of the reference: sums, no residual connections. The defaults are the
workload's: 3,554,176 parameters on molecules of ogbg-molpcba.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.corpus import CorpusMetrics
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import GraphView, PackedGraphView

ACTIVATIONS = ("relu", "gelu", "silu")


@dataclass(frozen=True)
class GNNConfig:
    """Config of the family "gnn"; the distributions are ours.

    Attributes:
      latent_size: What the numbers of nodes and edges are embedded in.
      hidden_size: Width of every layer of every MLP, and of what nodes, edges and graphs become.
      hidden_layers: Layers of every MLP: dense, layer norm, activation, dropout.
      rounds: Of message passing, each with its own three MLPs.
      activation: Of the whole network; variants of the workload have "gelu" (in its tanh form) and
        "silu".
      dropout: Rate, while training.
      label_smoothing: While training, answers y become (1 - a) y + a / questions, as published.
      max_nodes: Nodes that graphs are padded to; larger ones are left out. 0: those of the largest.
      max_edges: Likewise for edges.
      packed_graphs: If not 0, graphs share room, and the padding is taken out before anything is
        computed. The places of a batch are cut into packs of this many. A pack takes graphs while
        it has a place, nodes and edges for them. The workload has a pack on each device, 64 places
        on each of 8. The three numbers are 0, or none is.
      packed_nodes: A pack has room for this many nodes times its places; 26 in the workload.
      packed_edges: Likewise for edges; 56 in the workload.
    """

    latent_size: int = static(log_int(8, 128), allowed=(1, 16_384), default=256)
    hidden_size: int = static(log_int(8, 128), allowed=(1, 16_384), default=256)
    hidden_layers: int = static(choice((1, 2)), allowed=(1, 16), default=1)
    rounds: int = static(choice((1, 2, 3, 4, 5)), allowed=(1, 64), default=5)
    activation: str = static(choice(ACTIVATIONS), default="relu")
    dropout: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.1)
    label_smoothing: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)
    max_nodes: int = static(fixed(0), allowed=(0, 65_536), default=0)
    max_edges: int = static(fixed(0), allowed=(0, 1_000_000), default=0)
    packed_graphs: int = static(fixed(0), allowed=(0, 262_144), default=0)
    packed_nodes: int = static(fixed(0), allowed=(0, 65_536), default=0)
    packed_edges: int = static(fixed(0), allowed=(0, 1_000_000), default=0)

    def __post_init__(self):
        for name in ("packed_nodes", "packed_edges"):
            if bool(getattr(self, name)) != bool(self.packed_graphs):
                wanted = "more than 0" if self.packed_graphs else "0 like packed_graphs"
                raise SpecError(f"config.{name}", getattr(self, name), wanted)


@dataclass(frozen=True)
class Round:
    """Numbers that the MLPs of a round take: those of an edge, of a node and of a graph."""

    edge: int
    node: int
    graph: int


def rounds(config: GNNConfig, view: GraphView) -> list[Round]:
    """Return the rounds: the vector of a graph begins with a zero for each question."""
    made, latent, of_graph = [], config.latent_size, view.tasks
    for _ in range(config.rounds):
        of_edge, of_graph_mlp = 3 * latent + of_graph, 2 * config.hidden_size + of_graph
        of_node = latent + 2 * config.hidden_size + of_graph
        made.append(Round(of_edge, of_node, of_graph_mlp))
        latent = of_graph = config.hidden_size
    return made


def room(view: PackedGraphView, count: int) -> tuple[int, int]:
    """Return the nodes and edges that ``count`` places of a batch may have.

    The places are a batch, or a part of one that begins at a multiple of ``count``, so it may begin
    inside a pack, and its packs may lie outside in part.
    """
    places = view.packed_graphs
    latest = places - math.gcd(places, count)  # the last place of a pack that it may begin at
    packed = ((latest + count - 1) // places + 1) * places
    return packed * view.packed_nodes, packed * view.packed_edges


def cost(config: GNNConfig, view: GraphView, batch_size: int) -> Cost:
    sheet, hidden = CostSheet(), config.hidden_size
    if isinstance(view, PackedGraphView):
        nodes, edges = room(view, batch_size)
    else:
        nodes, edges = batch_size * view.nodes, batch_size * view.edges
    sheet.dense(nodes, view.node_features, config.latent_size, gradients=1)
    sheet.dense(edges, view.edge_features, config.latent_size, gradients=1)

    def mlp(rows: int, width: int) -> None:
        for _ in range(config.hidden_layers):
            sheet.dense(rows, width, hidden)
            costing.layer_norm(sheet, rows, hidden)
            costing.activate(sheet, rows * hidden, config.activation)
            costing.drop(sheet, rows * hidden, config.dropout)
            width = hidden

    latent = config.latent_size
    for index, of_round in enumerate(rounds(config, view)):
        # Gradients of the ends of edges are added into nodes, and into the nodes' own.
        sheet.elementwise(edges * latent, forward=0, backward=2, saved=0)
        sheet.elementwise(nodes * latent, forward=0, backward=2, saved=0)
        mlp(edges, of_round.edge)
        # Masked, and added into both ends; gradients meet again.
        sheet.elementwise(edges * hidden, forward=3, backward=3, saved=1)
        mlp(nodes, of_round.node)
        sheet.elementwise((nodes + edges) * hidden, forward=1, backward=0, saved=0)
        sheet.elementwise(nodes * hidden, forward=1, backward=1, saved=1)
        mlp(batch_size, of_round.graph)
        if index:  # the first vector of a graph is no function of parameters
            sheet.elementwise((nodes + edges) * hidden, forward=0, backward=1, saved=0)
        latent = hidden
    sheet.dense(batch_size, hidden, view.tasks)
    answers = batch_size * view.tasks
    sheet.elementwise(answers, forward=10, backward=8)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="gnn",
    config=GNNConfig,
    network="velodrome.taskgen.families.networks.gnn:GraphNetwork",
    objective="velodrome.taskgen.nn.objectives:smoothed_binary_tasks",
    corpus_metrics=CorpusMetrics(
        ("mean_average_precision",),
        "velodrome.taskgen.ranking:collect",
        "velodrome.taskgen.ranking:score",
    ),
    data_kind="graph",
    batch_size=log_int(4, 128),
    cost=cost,
    shrink={"hidden_size": 8, "latent_size": 8, "batch_size": 4, "rounds": 1},
)
