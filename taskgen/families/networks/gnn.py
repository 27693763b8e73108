"""The graph network of the workload ``ogbg``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families import gnn
from velodrome.taskgen.functions import Batch, Dynamic
from velodrome.taskgen.nn.activations import activate
from velodrome.taskgen.nn.choices import ACTIVATIONS
from velodrome.taskgen.nn.layers import Keys, drop
from velodrome.taskgen.nn.objectives import Answers
from velodrome.taskgen.views import GraphView, PackedGraphView


class MLP(nnx.Module):
    """Dense, layer norm, activation and dropout, one or more times: f32[N,size] to [N,hidden]."""

    def __init__(self, config: gnn.GNNConfig, size: int, rngs: nnx.Rngs):
        self.config, width = config, config.hidden_size
        for layer in range(config.hidden_layers):
            setattr(self, f"dense_{layer}", nnx.Linear(size, width, rngs=rngs))
            setattr(self, f"norm_{layer}", nnx.LayerNorm(width, rngs=rngs))
            size = width

    def __call__(self, parts: list[jax.Array], keys: Keys) -> jax.Array:
        """Map the parts of each row, f32[N,*]; without keys nothing is dropped."""
        x = jnp.concatenate(parts, axis=1)
        for layer in range(self.config.hidden_layers):
            x = getattr(self, f"norm_{layer}")(getattr(self, f"dense_{layer}")(x))
            x = activate(x, ACTIVATIONS.index(self.config.activation))
            x = drop(x, self.config.dropout, keys)
        return x


class Round(nnx.Module):
    """The three MLPs of a round."""

    def __init__(self, config: gnn.GNNConfig, sizes: gnn.Round, rngs: nnx.Rngs):
        self.edge = MLP(config, sizes.edge, rngs)
        self.node = MLP(config, sizes.node, rngs)
        self.graph = MLP(config, sizes.graph, rngs)


@dataclass(frozen=True)
class Union:
    """The graphs of a batch as one graph, whose parts are not joined.

    Attributes:
      node: f32[N,F]; ``edge`` f32[E,G].
      sender: i32[E], numbers of nodes; ``receiver`` likewise.
      node_mask: f32[N,1], 0 for padding; ``edge_mask`` f32[E,1].
      to_nodes: Gives each node a row of its graph: f32[B,*] to f32[N,*]; ``to_edges`` likewise.
      of_nodes: Adds the rows of the nodes of each graph: f32[N,*] to f32[B,*]; ``of_edges``
        likewise.
      counted: As for `Answers`.
    """

    node: jax.Array
    edge: jax.Array
    sender: jax.Array
    receiver: jax.Array
    node_mask: jax.Array
    edge_mask: jax.Array
    to_nodes: Callable[[jax.Array], jax.Array]
    to_edges: Callable[[jax.Array], jax.Array]
    of_nodes: Callable[[jax.Array], jax.Array]
    of_edges: Callable[[jax.Array], jax.Array]
    counted: jax.Array | None = None


def padded(graphs: Batch) -> Union:
    """Put graphs one after the other, with their padding."""
    count, nodes = graphs["node_mask"].shape
    edges = graphs["edge_mask"].shape[1]
    first = nodes * jnp.arange(count, dtype=jnp.int32)[:, None]
    sender, receiver = ((graphs[end] + first).reshape(-1) for end in ("sender", "receiver"))
    node_mask, edge_mask = (graphs[f"{what}_mask"].reshape(-1, 1) for what in ("node", "edge"))

    def flat(what: str) -> jax.Array:
        return graphs[what].reshape(-1, graphs[what].shape[2])

    def added(x: jax.Array, each: int) -> jax.Array:
        return x.reshape(count, each, -1).sum(axis=1)

    def spread(x: jax.Array, each: int) -> jax.Array:
        return jnp.broadcast_to(x[:, None], (count, each, x.shape[1])).reshape(count * each, -1)

    return Union(
        flat("node"),
        flat("edge"),
        sender,
        receiver,
        node_mask,
        edge_mask,
        to_nodes=partial(spread, each=nodes),
        to_edges=partial(spread, each=edges),
        of_nodes=partial(added, each=nodes),
        of_edges=partial(added, each=edges),
    )


def packed(graphs: Batch, nodes: int, edges: int) -> Union:
    """Put graphs into room for ``nodes`` and ``edges``, without their padding.

    All graphs of a batch of the data find room. In another batch the first ones do, and the others
    count for nothing.
    """
    whole = padded(graphs)
    count = len(graphs["node_mask"])
    inside = jnp.ones(count, bool)
    for what, rows in (("node", nodes), ("edge", edges)):
        inside &= jnp.cumsum(graphs[f"{what}_mask"].sum(axis=1)) <= rows

    def pack(what: str, rows: int) -> tuple[jax.Array, jax.Array, Callable[..., jax.Array]]:
        """Return the graph of each new row, the new place of each old one, and what moves rows."""
        mask = graphs[f"{what}_mask"] * inside[:, None]
        old = mask.reshape(-1) > 0
        place = jnp.where(old, jnp.cumsum(old.astype(jnp.int32)) - 1, rows)  # else out of range

        def move(x: jax.Array) -> jax.Array:
            return jnp.zeros((rows, *x.shape[1:]), x.dtype).at[place].set(x, mode="drop")

        of = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32)[:, None], mask.shape)
        return move(of.reshape(-1)), place, move

    node_graph, node_place, move_nodes = pack("node", nodes)
    edge_graph, _, move_edges = pack("edge", edges)

    def added(x: jax.Array, graph: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(x, graph, count)

    return Union(
        move_nodes(whole.node),
        move_edges(whole.edge),
        move_edges(node_place[whole.sender]),
        move_edges(node_place[whole.receiver]),
        move_nodes(whole.node_mask),
        move_edges(whole.edge_mask),
        to_nodes=lambda x: x[node_graph],
        to_edges=lambda x: x[edge_graph],
        of_nodes=partial(added, graph=node_graph),
        of_edges=partial(added, graph=edge_graph),
        counted=inside.astype(jnp.float32),
    )


class GraphNetwork(nnx.Module):
    """Rounds of message passing: the fields of a `GraphView` to logits f32[B,tasks].

    Nodes and edges that are padding compute, and are left out of all sums.
    """

    def __init__(self, config: gnn.GNNConfig, view: GraphView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        del dynamic
        self.config, self.view = config, view
        self.node_embedding = nnx.Linear(view.node_features, config.latent_size, rngs=rngs)
        self.edge_embedding = nnx.Linear(view.edge_features, config.latent_size, rngs=rngs)
        for index, sizes in enumerate(gnn.rounds(config, view)):
            setattr(self, f"round_{index}", Round(config, sizes, rngs))
        self.output = nnx.Linear(config.hidden_size, view.tasks, rngs=rngs)

    def __call__(self, graphs: Batch, *, train: bool, key: jax.Array) -> Answers:
        config = self.config
        count = len(graphs["node_mask"])
        if isinstance(self.view, PackedGraphView):
            union = packed(graphs, *gnn.room(self.view, count))
        else:
            union = padded(graphs)
        node, edge = self.node_embedding(union.node), self.edge_embedding(union.edge)
        whole = jnp.zeros((count, self.view.tasks), node.dtype)
        keys = None
        if train and config.dropout:
            keys = iter(jax.random.split(key, 3 * config.rounds * config.hidden_layers))
        for index in range(config.rounds):
            now = getattr(self, f"round_{index}")
            ends = [node[union.sender], node[union.receiver]]
            edge = now.edge([edge, *ends, union.to_edges(whole)], keys)
            real = edge * union.edge_mask
            sent, received = (
                jax.ops.segment_sum(real, end, len(node)) for end in (union.sender, union.receiver)
            )
            node = now.node([node, sent, received, union.to_nodes(whole)], keys)
            sums = [union.of_nodes(node * union.node_mask), union.of_edges(real)]
            whole = now.graph([*sums, whole], keys)
        return Answers(self.output(whole), config.label_smoothing if train else 0.0, union.counted)
