"""Graphs of networkx as arrays, with the answers to questions about them."""

from __future__ import annotations

import networkx as nx
import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of


def answers(graph: nx.Graph) -> dict[str, bool | None]:
    """Return the answer to each question; None where the question makes no sense."""
    empty = not graph
    degrees = [degree for _, degree in graph.degree()]
    connected = None if empty else nx.is_connected(graph)
    cliques = [len(clique) for clique in nx.find_cliques(graph)]
    matched = 2 * len(nx.max_weight_matching(graph, maxcardinality=True))
    return {
        "connected": connected,
        "bipartite": nx.is_bipartite(graph),
        "planar": nx.is_planar(graph),
        "triangle": any(size > 2 for size in cliques),
        "four_clique": any(size > 3 for size in cliques),
        "forest": None if empty else nx.is_forest(graph),
        "chordal": nx.is_chordal(graph),
        "regular": None if empty else len(set(degrees)) == 1,
        "even_degrees": all(degree % 2 == 0 for degree in degrees),
        "bridge": nx.has_bridges(graph),
        "perfect_matching": matched == len(graph),
        "diameter_of_two": nx.diameter(graph) <= 2 if connected else None,
    }


def read_atlas() -> list[nx.Graph]:
    """Return the graphs in the order of the atlas."""
    return nx.graph_atlas_g()


def arrays_of(graphs: list[nx.Graph], questions: tuple[str, ...]) -> Arrays:
    """Return the arrays of graphs with the answers to some questions.

    All nodes and edges are alike, and edges go both ways.
    """
    nodes = [len(graph) for graph in graphs]
    edges = [sorted([*graph.edges, *((b, a) for a, b in graph.edges)]) for graph in graphs]
    ends = np.array([pair for pairs in edges for pair in pairs], np.int32).reshape(-1, 2)
    found = [answers(graph) for graph in graphs]
    given = [[made[question] for question in questions] for made in found]
    return {
        "node": np.ones((sum(nodes), 1), np.float32),
        "node_offsets": offsets_of(nodes),
        "edge": np.ones((len(ends), 1), np.float32),
        "sender": np.ascontiguousarray(ends[:, 0]),
        "receiver": np.ascontiguousarray(ends[:, 1]),
        "edge_offsets": offsets_of(map(len, edges)),
        "label": np.array([[float(bool(one)) for one in row] for row in given], np.float32),
        "weight": np.array([[float(one is not None) for one in row] for row in given], np.float32),
    }
