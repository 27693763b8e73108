"""The graph network of the workload ``ogbg``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families import gnn
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.layers import dropout
from velodrome.taskgen.nn.losses import Prediction
from velodrome.taskgen.views import GraphView

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}


class MLP(nnx.Module):
    """Dense, layer norm, activation and dropout, one or more times: f32[N,size] to [N,hidden]."""

    def __init__(self, config: gnn.GNNConfig, size: int, rngs: nnx.Rngs):
        self.config, width = config, config.hidden_size
        for layer in range(config.hidden_layers):
            setattr(self, f"dense_{layer}", nnx.Linear(size, width, rngs=rngs))
            setattr(self, f"norm_{layer}", nnx.LayerNorm(width, rngs=rngs))
            size = width

    def __call__(self, parts: list[jax.Array], keys: Iterator[jax.Array] | None) -> jax.Array:
        """Map the parts of each row, f32[N,*]; without keys nothing is dropped."""
        x = jnp.concatenate(parts, axis=1)
        for layer in range(self.config.hidden_layers):
            x = getattr(self, f"norm_{layer}")(getattr(self, f"dense_{layer}")(x))
            x = ACTIVATIONS[self.config.activation](x)
            x = x if keys is None else dropout(x, self.config.dropout, next(keys))
        return x


class Round(nnx.Module):
    """The three MLPs of a round."""

    def __init__(self, config: gnn.GNNConfig, sizes: gnn.Round, rngs: nnx.Rngs):
        self.edge = MLP(config, sizes.edge, rngs)
        self.node = MLP(config, sizes.node, rngs)
        self.graph = MLP(config, sizes.graph, rngs)


class GraphNetwork(nnx.Module):
    """Rounds of message passing: the fields of a `GraphView` to logits f32[B,tasks].

    Nodes and edges that are padding compute, and are left out of all sums.
    """

    def __init__(self, config: gnn.GNNConfig, view: GraphView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        del dynamic
        self.config, self.tasks = config, view.tasks
        self.node_embedding = nnx.Linear(view.node_features, config.latent_size, rngs=rngs)
        self.edge_embedding = nnx.Linear(view.edge_features, config.latent_size, rngs=rngs)
        for index, sizes in enumerate(gnn.rounds(config, view)):
            setattr(self, f"round_{index}", Round(config, sizes, rngs))
        self.output = nnx.Linear(config.hidden_size, view.tasks, rngs=rngs)

    def __call__(
        self, graphs: Mapping[str, jax.Array], *, train: bool, key: jax.Array
    ) -> Prediction:
        count, nodes = graphs["node_mask"].shape
        edges = graphs["edge_mask"].shape[1]
        # All graphs of the batch become one: the nodes of the second follow those of the first.
        first = nodes * jnp.arange(count, dtype=jnp.int32)[:, None]
        sender, receiver = ((graphs[end] + first).reshape(-1) for end in ("sender", "receiver"))
        node_mask, edge_mask = (graphs[f"{what}_mask"].reshape(-1, 1) for what in ("node", "edge"))

        def flat(what: str) -> jax.Array:
            return graphs[what].reshape(-1, graphs[what].shape[2])

        def added(x: jax.Array, each: int) -> jax.Array:
            return x.reshape(count, each, -1).sum(axis=1)

        def of_graph(x: jax.Array, each: int) -> jax.Array:
            return jnp.broadcast_to(x[:, None], (count, each, x.shape[1])).reshape(count * each, -1)

        node, edge = self.node_embedding(flat("node")), self.edge_embedding(flat("edge"))
        whole = jnp.zeros((count, self.tasks), node.dtype)
        keys = None
        if train and self.config.dropout:
            drawn = 3 * self.config.rounds * self.config.hidden_layers
            keys = iter(jax.random.split(key, drawn))
        for index in range(self.config.rounds):
            now = getattr(self, f"round_{index}")
            edge = now.edge([edge, node[sender], node[receiver], of_graph(whole, edges)], keys)
            real = edge * edge_mask
            sent, received = (
                jax.ops.segment_sum(real, end, count * nodes) for end in (sender, receiver)
            )
            node = now.node([node, sent, received, of_graph(whole, nodes)], keys)
            sums = [added(node * node_mask, nodes), added(real, edges)]
            whole = now.graph([*sums, whole], keys)
        smoothing = self.config.label_smoothing if train else 0.0
        return Prediction(self.output(whole), smoothing)
