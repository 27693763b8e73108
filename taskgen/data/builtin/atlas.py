"""All graphs of up to seven nodes: the atlas of Read and Wilson, from inside networkx.

Each graph has the answers to several questions of yes or no, which are computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset

if TYPE_CHECKING:
    import networkx

HELD_OUT = 5  # the last of as many graphs is held out

QUESTIONS = (
    "connected",
    "bipartite",
    "planar",
    "triangle",
    "four_clique",
    "forest",
    "chordal",
    "regular",
    "even_degrees",
    "bridge",
    "perfect_matching",
    "diameter_of_two",
)

INFO = DatasetInfo(
    name="networkx_atlas",
    kind="graph",
    licence=(
        "networkx is BSD-3-Clause; its file generators/atlas.py names the book, An Atlas of Graphs "
        "(Read and Wilson 1998), and states no licence for the list"
    ),
    origin="the 1,253 graphs of An Atlas of Graphs (Read, Wilson), in networkx; answers computed",
    provenance="built-in",
    shape=(1, 1),
    num_classes=len(QUESTIONS),
    dtype="float32",
    largest=(7, 42),
    split_sizes={"train": 1003, "heldout": 250},
    split_hashes={
        "train": "443d90b767b171143841aad8c26329c8212fea775f4335dfe7ed9ddb0ef44af9",
        "heldout": "e450666d09e258419cccae0a19d41c5a928faca2db0a35783c10e622967e4bfa",
    },
    class_names=QUESTIONS,
)


def answers(graph: networkx.Graph) -> dict[str, bool | None]:
    """Return the answer to each of `QUESTIONS`; None where the question makes no sense."""
    import networkx as nx  # noqa: PLC0415 - only building the arrays needs it

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


def read_atlas() -> list[networkx.Graph]:
    """Return the graphs in the order of the atlas."""
    package_file("networkx", "generators/atlas.dat.gz", distribution="networkx")  # or an error
    import networkx as nx  # noqa: PLC0415 - as above

    return nx.graph_atlas_g()


def arrays_of(graphs: list[networkx.Graph]) -> Arrays:
    """Return the arrays of graphs: all nodes and edges are alike, and edges go both ways."""
    nodes = [len(graph) for graph in graphs]
    edges = [sorted([*graph.edges, *((b, a) for a, b in graph.edges)]) for graph in graphs]
    ends = np.array([pair for pairs in edges for pair in pairs], np.int32).reshape(-1, 2)
    found = [answers(graph) for graph in graphs]
    given = [[made[question] for question in QUESTIONS] for made in found]
    return {
        "node": np.ones((sum(nodes), 1), np.float32),
        "node_offsets": _offsets(nodes),
        "edge": np.ones((len(ends), 1), np.float32),
        "sender": np.ascontiguousarray(ends[:, 0]),
        "receiver": np.ascontiguousarray(ends[:, 1]),
        "edge_offsets": _offsets([len(pairs) for pairs in edges]),
        "label": np.array([[float(bool(one)) for one in row] for row in given], np.float32),
        "weight": np.array([[float(one is not None) for one in row] for row in given], np.float32),
    }


def _offsets(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def build() -> dict[str, Arrays]:
    """Make the arrays; the last of every five graphs, in the order of the atlas, is held out."""
    graphs = read_atlas()
    held = graphs[HELD_OUT - 1 :: HELD_OUT]
    kept = [graph for at, graph in enumerate(graphs) if at % HELD_OUT != HELD_OUT - 1]
    return {"train": arrays_of(kept), "heldout": arrays_of(held)}


ATLAS = stored_dataset(INFO, build, distribution="networkx", version="3.6.1")
