"""Stand-in molecules: random trees with rings, and answers that follow from their structure.

No molecule is like these, and their codes mean nothing. Each atom is bound to one of the three
before it, and rings of five or six close between an atom and one of its ancestors. Codes have the
ranges of OGB's. A question weighs how often there is what, such as six-rings, branches, or an
element; those whose score is high have the answer yes. Answers are missing at random. All choices
are made with integers, so the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.rawrandom import random_below

NODE_CODES = (119, 4, 12, 12, 10, 6, 6, 2, 2)
"""Codes that OGB has for each number of an atom: element, chirality, degree, charge, hydrogens,
radicals, hybridisation, aromatic, in a ring."""
EDGE_CODES = (5, 6, 2)
"""Of a bond: type, stereo, conjugated."""

_SMALLEST, _MORE = 10, 16  # atoms: the first, and twice up to one less than the second
_LARGE = 100  # one graph in as many has four times the atoms
_RINGS = 6  # one atom in as many closes a ring, if it has the ancestor for it
_ELEMENTS = np.array([5] * 10 + [7] * 3 + [6] * 2 + [15])  # codes of carbon, oxygen, ...
_KNOWN = 3, 5  # three answers out of five are known


def make_molecules(name: str, sizes: dict[str, int], questions: int) -> dict[str, Arrays]:
    """Make the splits: arrays of `velodrome.taskgen.data.kinds.graphs`, bonds in both directions.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Graphs of each split.
      questions: How many are asked of each graph; yes is the answer of one graph in 4 to 31.
    """
    made, thresholds = {}, None
    for split, count in sizes.items():
        arrays, counts = _graphs(count, name, split)
        weights = random_below(65, counts.shape[1] * questions, name, "weights") - 32
        score = counts @ weights.reshape(-1, questions)
        if thresholds is None:
            rank = np.maximum(1, count // (4 + 28 * np.arange(questions) // questions))
            thresholds = np.sort(score, axis=0)[count - rank, np.arange(questions)]
        known, of = _KNOWN
        drawn = random_below(of, count * questions, name, split, "known").reshape(score.shape)
        weight = (drawn < known).astype(np.float32)
        label = (score >= thresholds).astype(np.float32) * weight
        made[split] = {**arrays, "label": label, "weight": weight}
    return made


def _graphs(count: int, name: str, split: str) -> tuple[Arrays, np.ndarray]:
    """Make graphs, and count i64[count,kinds] what is in each of them."""

    def draw(limit: int, size: int, what: str) -> np.ndarray:
        return random_below(limit, size, name, split, what)

    atoms = _SMALLEST + draw(_MORE, count, "atoms") + draw(_MORE, count, "more atoms")
    atoms *= np.where(draw(_LARGE, count, "large") == 0, 4, 1)
    offsets = offsets_of(atoms)
    total = int(offsets[-1])
    graph = np.repeat(np.arange(count), atoms)
    number = np.arange(total) - offsets[graph]

    # Every second atom is bound to the one before it. The root is its own parent.
    back = np.array([1, 1, 2, 3])[draw(4, total, "parent")]
    parent = number - np.minimum(back, number) + offsets[graph]
    sizes = 5 + draw(2, total, "ring size")
    ancestor, depth = np.arange(total), np.zeros(total, np.int64)
    for step in range(1, 6):
        further = (step < sizes) & (number[ancestor] > 0)
        ancestor = np.where(further, parent[ancestor], ancestor)
        depth += further
    closes = (draw(_RINGS, total, "ring") == 0) & (depth == sizes - 1)

    bound, closing = np.flatnonzero(number > 0), np.flatnonzero(closes)
    one = np.concatenate([bound, closing])
    other = np.concatenate([parent[bound], ancestor[closing]])
    order = np.argsort(graph[one], kind="stable")
    one, other = one[order], other[order]

    degree = np.bincount(one, minlength=total) + np.bincount(other, minlength=total)
    # Only the two atoms that a ring closes between count as in it.
    in_ring = np.zeros(total, np.int64)
    in_ring[closing] = in_ring[ancestor[closing]] = 1
    element = _ELEMENTS[draw(len(_ELEMENTS), total, "element")]
    codes = [draw(limit, total, f"atom {at}") for at, limit in enumerate(NODE_CODES)]
    codes[0], codes[2], codes[8] = element, np.minimum(degree, NODE_CODES[2] - 1), in_ring
    node = np.stack(codes, axis=1).astype(np.float32)
    bonds = [draw(limit, len(one), f"bond {at}") for at, limit in enumerate(EDGE_CODES)]
    edge = np.stack(bonds, axis=1).astype(np.float32)

    def per_graph(there: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.bincount(of[there], minlength=count)

    bond_of = graph[one]
    counts = [
        *(per_graph(element == code, graph) for code in sorted(set(_ELEMENTS.tolist()))),
        *(per_graph(closes & (sizes == size), graph) for size in (5, 6)),
        *(per_graph(degree == near, graph) for near in (1, 3, 4)),
        *(per_graph(bonds[0] == kind, bond_of) for kind in (1, 2)),
        per_graph(element[one] + element[other] == 12, bond_of),  # of carbon with oxygen
    ]
    arrays = {
        "node": node,
        "node_offsets": offsets,
        **_both_ways(bond_of, edge, one - offsets[bond_of], other - offsets[bond_of], count),
    }
    return arrays, np.stack(counts, axis=1)


def _both_ways(
    graph: np.ndarray, edge: np.ndarray, one: np.ndarray, other: np.ndarray, count: int
) -> Arrays:
    """Return edges of graphs, each in both directions: first all of a graph, then all back."""
    order = np.argsort(np.concatenate([graph, graph]), kind="stable")
    return {
        "edge": np.concatenate([edge, edge])[order],
        "sender": np.concatenate([one, other])[order].astype(np.int32),
        "receiver": np.concatenate([other, one])[order].astype(np.int32),
        "edge_offsets": offsets_of(2 * np.bincount(graph, minlength=count)),
    }
