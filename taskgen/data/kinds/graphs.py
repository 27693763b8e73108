"""Graphs, each with answers to several questions of yes or no."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import (
    SplitError,
    check_count,
    check_floats,
    check_integers,
    check_offsets,
)
from velodrome.taskgen.data.packedorder import PackedOrder
from velodrome.taskgen.data.ragged import counts, fitting, inside, padded
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import GraphView, PackedGraphView

_OF_EDGES = ("edge", "sender", "receiver")


class Graphs(Kind[GraphView]):
    """Arrays of N graphs with M nodes and E edges, which have a direction.

    node f32[M,F], node_offsets i64[N+1]; edge f32[E,G], sender i32[E], receiver i32[E],
    edge_offsets i64[N+1]; label f32[N,tasks] of 0 and 1, weight f32[N,tasks] of 0 (not known) and
    1. Senders and receivers count the nodes of their own graph, from 0.
    """

    facts = (
        "the numbers of a node and of an edge as its shape, the questions as num_classes, dtype "
        "'float32', and perhaps the nodes and edges of the largest graph as largest"
    )
    noun = "graphs"

    def fits(self, info: DatasetInfo) -> bool:
        whole = len(info.shape) == 2 and len(info.largest) in (0, 2)
        return whole and info.num_classes > 0 and info.dtype == "float32"

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("label", "weight", "node", "node_offsets", *_OF_EDGES, "edge_offsets")

    def unit(self, info: DatasetInfo) -> str:
        return "graphs"

    def describe(self, info: DatasetInfo) -> str:
        nodes, edges = info.shape
        return f"graphs with {nodes} numbers a node and {edges} an edge"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        for what, name, width in zip(("nodes", "edges"), ("node", "edge"), info.shape, strict=True):
            check_floats(what, arrays[name], (width,))
        nodes = check_offsets("nodes", arrays["node_offsets"], len(arrays["node"]))
        edges = check_offsets("edges", arrays["edge_offsets"], len(arrays["edge"]))
        check_count("graphs", len(nodes), "groups of edges", len(edges))
        pairs = zip(("nodes", "edges"), (nodes, edges), info.largest, strict=False)
        for what, found, most in pairs:
            for at in np.flatnonzero(found > most)[:1]:
                raise SplitError(f"has a graph, number {at}, with {found[at]} {what}, over {most}")
        limit = np.repeat(nodes, edges)  # nodes of the graph of each edge
        for name in ("sender", "receiver"):
            check_count("edges", len(arrays["edge"]), f"{name}s", len(arrays[name]))
            check_integers(f"{name}s", arrays[name], int(nodes.max(initial=0)))
            for at in np.flatnonzero(arrays[name] >= limit)[:1]:
                raise SplitError(f"has an edge, number {at}, whose {name} is no node of its graph")
        for name in ("label", "weight"):
            check_floats(f"{name}s", arrays[name], (info.num_classes,))
            check_count("graphs", len(nodes), f"{name}s", len(arrays[name]))
            odd = ~np.isin(arrays[name], (0.0, 1.0)).all(axis=1)
            for at in np.flatnonzero(odd)[:1]:
                raise SplitError(f"has a {name} in graph {at} that is neither 0 nor 1")
        return len(nodes)

    def view(self, config: object, info: DatasetInfo) -> GraphView:
        names = ("max_nodes", "max_edges")
        largest = info.largest or (0, 0)
        sizes = (
            getattr(config, name, 0) or most for name, most in zip(names, largest, strict=True)
        )
        nodes, edges = sizes
        if not nodes or not edges:
            wanted = f"{names[0]} and {names[1]} in the config, as {info.name!r} does not say them"
            raise SpecError(f"config.{names[0]}", nodes, wanted)
        (node, edge), classes = info.shape, info.num_classes
        places = getattr(config, "packed_graphs", 0)
        if not places:
            return GraphView(nodes, edges, node, edge, classes)
        room = tuple(getattr(config, f"packed_{what}", 0) for what in ("nodes", "edges"))
        for what, each, most in zip(("nodes", "edges"), room, (nodes, edges), strict=True):
            if places * each < most:
                wanted = (
                    f"at least {-(-most // places)}, as a graph may have {most} {what} and a pack "
                    f"of {places} graphs has {places} times as many as that"
                )
                raise SpecError(f"config.packed_{what}", each, wanted)
        return PackedGraphView(nodes, edges, node, edge, classes, places, *room)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: GraphView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        nodes, edges = raw["node_offsets"], raw["edge_offsets"]
        found = fitting({"nodes": (nodes, view.nodes), "edges": (edges, view.edges)}, what)
        layout, size, order = "graphs", len(found), None
        facts = {"nodes": view.nodes, "edges": view.edges}
        if isinstance(view, PackedGraphView):
            layout, places = "packed graphs", view.packed_graphs
            room = view.packed_nodes, view.packed_edges
            facts |= {"places": places, "packed nodes": room[0], "packed edges": room[1]}
            sizes = counts(nodes, found), counts(edges, found)
            order = PackedOrder(sizes, (places * room[0], places * room[1]), places)
            # One more graph, which has nothing, for places that are left over.
            found = np.append(found, len(raw["label"]))
            nodes, edges = (np.append(offsets, offsets[-1]) for offsets in (nodes, edges))

        def rows(indices: np.ndarray | slice) -> Arrays:
            chosen = found[indices]
            return {
                "node": padded(raw["node"], nodes, chosen, view.nodes),
                **{name: padded(raw[name], edges, chosen, view.edges) for name in _OF_EDGES},
                "node_mask": inside(nodes, chosen, view.nodes),
                "edge_mask": inside(edges, chosen, view.edges),
                "label": _answers(raw["label"], chosen),
                "weight": _answers(raw["weight"], chosen),
            }

        return SplitView(
            size=size,
            nbytes=len(found) * _bytes(view),
            facts={"layout": layout, **facts},
            key=(layout, view.nodes, view.edges),
            whole=lambda: rows(slice(None)),
            rows=rows,
            order=order,
        )

    def nbytes(self, info: DatasetInfo, view: GraphView, variation: Variation) -> int:
        return sum(info.split_sizes.values()) * _bytes(view)


def _answers(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the rows ``chosen``, of zeros for the one after the last."""
    made = values[np.minimum(chosen, len(values) - 1)]
    made[chosen == len(values)] = 0
    return made


def _bytes(view: GraphView) -> int:
    """Return the bytes of a graph."""
    node, edge = 4 * view.node_features + 1, 4 * (view.edge_features + 2) + 1
    return view.nodes * node + view.edges * edge + 8 * view.tasks
