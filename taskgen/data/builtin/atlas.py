"""All graphs of up to seven nodes: the atlas of Read and Wilson, from inside networkx.

Each graph has the answers to several questions of yes or no, which are computed.
"""

from __future__ import annotations

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset

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


def build() -> dict[str, Arrays]:
    """Make the arrays; the last of every five graphs, in the order of the atlas, is held out."""
    package_file("networkx", "generators/atlas.dat.gz", distribution="networkx")  # or an error
    from velodrome.taskgen.data.builtin import atlas_graphs  # noqa: PLC0415 - imports networkx

    graphs = atlas_graphs.read_atlas()
    held = graphs[HELD_OUT - 1 :: HELD_OUT]
    kept = [graph for at, graph in enumerate(graphs) if at % HELD_OUT != HELD_OUT - 1]
    return {
        "train": atlas_graphs.arrays_of(kept, QUESTIONS),
        "heldout": atlas_graphs.arrays_of(held, QUESTIONS),
    }


ATLAS = stored_dataset(INFO, build, distribution="networkx", version="3.6.1")
