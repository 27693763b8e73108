"""How a task sees a data set of each kind: the arrays of a batch, and the usual loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from velodrome.taskgen.schema import MASK, PADDING, Field, View, floats, integers


@dataclass(frozen=True)
class ImageView(View):
    """How a task sees an image data set.

    Attributes:
      size: Height and width in pixels that images are resized to.
      channels: Colour channels.
      num_classes: Number of labels.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"image_size": 8}, velodrome.DataSpec("digits"), 32)
      >>> spec.view.pixels
      64
    """

    size: int
    channels: int
    num_classes: int

    input_names = ("image",)
    objective = "velodrome.taskgen.nn.losses:classification"
    normalizer = "velodrome.taskgen.nn.losses:normalize_classification"

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return self.size * self.size * self.channels

    def schema(self) -> Mapping[str, Field]:
        return {
            "image": floats(self.size, self.size, self.channels, meaning="pixels in [0, 1]"),
            "label": integers(below=self.num_classes, meaning="the class"),
        }


@dataclass(frozen=True)
class TextView(View):
    """How a task sees a text data set.

    Attributes:
      length: Tokens that a sequence is predicted for.
      vocab_size: Classes that the task predicts. It may differ from the data set's: larger tokens
        are folded, see `velodrome.taskgen.nn.losses.fold_tokens`.

    Examples:
      >>> spec = velodrome.TaskSpec("rnn", {"sequence_length": 16}, velodrome.DataSpec("kjv"), 32)
      >>> spec.view.length
      16
    """

    length: int
    vocab_size: int

    inputs = "velodrome.taskgen.nn.inputs:folded_tokens"
    input_names = ("obs",)
    objective = "velodrome.taskgen.nn.losses:language_model"
    normalizer = "velodrome.taskgen.nn.losses:normalize_language_model"

    def schema(self) -> Mapping[str, Field]:
        limit = self.vocab_size
        return {
            "obs": integers(self.length, below=limit, meaning="tokens; 0 is padding"),
            "target": integers(self.length, below=limit, meaning="the token after each"),
        }


@dataclass(frozen=True)
class TableView(View):
    """How a task sees a table: rows of numbers, each with a label.

    Attributes:
      columns: Numbers in a row.
      num_classes: Number of labels.
    """

    columns: int
    num_classes: int

    input_names = ("row",)
    objective = "velodrome.taskgen.nn.losses:classification"
    normalizer = "velodrome.taskgen.nn.losses:normalize_classification"

    @property
    def outputs(self) -> int:
        """Numbers that the network returns for a row."""
        return self.num_classes

    def schema(self) -> Mapping[str, Field]:
        return {
            "row": floats(self.columns, meaning="the numbers of a row"),
            "label": integers(below=self.num_classes, meaning="the class"),
        }


@dataclass(frozen=True)
class RegressionView(View):
    """How a task sees a table with numbers to predict.

    Attributes:
      columns: Numbers in a row.
      targets: Numbers to predict for each row.
    """

    columns: int
    targets: int

    input_names = ("row",)
    objective = "velodrome.taskgen.nn.objectives:regression"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_regression"

    @property
    def outputs(self) -> int:
        """Numbers that the network returns for a row."""
        return self.targets

    def schema(self) -> Mapping[str, Field]:
        return {
            "row": floats(self.columns, meaning="the numbers of a row"),
            "target": floats(self.targets, meaning="the numbers to predict"),
        }


@dataclass(frozen=True)
class HashedTableView(View):
    """How a task sees rows of numbers and hashed categories, each with a label, 0 or 1.

    Attributes:
      columns: Numbers in a row.
      categories: Columns of categories.
      vocab_size: Rows of the table of embeddings that all categories share. A larger code wraps.
    """

    columns: int
    categories: int
    vocab_size: int

    input_names = ("row", "category")
    objective = "velodrome.taskgen.nn.objectives:binary"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_binary"

    def schema(self) -> Mapping[str, Field]:
        return {
            "row": floats(self.columns, meaning="the numbers of a row"),
            "category": integers(
                self.categories, below=self.vocab_size, meaning="hashes of the categories"
            ),
            "label": integers(below=2, meaning="the class"),
        }


@dataclass(frozen=True)
class PairView(View):
    """How a task sees pairs of token sequences, such as a sentence and its translation.

    Attributes:
      source_length: Tokens of a source; shorter ones are padded with 0 at the end.
      target_length: Tokens of a target; likewise. Pairs that are longer are left out.
      vocab_size: Number of tokens, of both.
    """

    source_length: int
    target_length: int
    vocab_size: int

    input_names = ("source", "target")
    objective = "velodrome.taskgen.nn.objectives:sequence"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_sequence"

    def schema(self) -> Mapping[str, Field]:
        limit = self.vocab_size
        return {
            "source": integers(self.source_length, below=limit, meaning="tokens; 0 is padding"),
            "target": integers(
                self.target_length,
                below=limit,
                meaning="tokens to predict; 0 is padding. The network shifts them itself.",
            ),
        }


@dataclass(frozen=True)
class PackedPairView(PairView):
    """How a task sees pairs, several of which share a row while training.

    Sources and targets of a row's pairs follow one another, and the pairs are numbered from 1. In
    evaluation each row has one pair.
    """

    input_names = ("source", "target", "source_segment", "target_segment")

    def schema(self) -> Mapping[str, Field]:
        lengths = {"source": self.source_length, "target": self.target_length}
        number = "number of the pair in its row; 0 is padding"
        return {
            **super().schema(),
            **{
                f"{name}_segment": integers(length, below=length + 1, meaning=number)
                for name, length in lengths.items()
            },
        }


@dataclass(frozen=True)
class AudioView(View):
    """How a task sees recordings with their text.

    Attributes:
      length: Samples, or frames of features; shorter recordings are padded at the end. Those that
        are longer, or have more labels, are left out.
      features: Numbers of a frame; 0 for samples.
      label_length: Tokens of a text.
      vocab_size: Number of tokens. 0 is padding, and CTC's blank.
      separator: The token between words; 0 if there is none.
    """

    length: int
    features: int
    label_length: int
    vocab_size: int
    separator: int = 0

    input_names = ("audio", "audio_padding")
    objective = "velodrome.taskgen.nn.objectives:ctc"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_ctc"

    def schema(self) -> Mapping[str, Field]:
        frame = (self.features,) if self.features else ()
        what = "features of frames" if self.features else "samples in [-1, 1)"
        nothing = "1 where nothing is, else 0"
        return {
            "audio": floats(self.length, *frame, meaning=what),
            "audio_padding": floats(self.length, meaning=nothing, role=PADDING),
            "label": integers(self.label_length, below=self.vocab_size, meaning="tokens"),
            "label_padding": floats(self.label_length, meaning=nothing, role=PADDING),
        }


@dataclass(frozen=True)
class GraphView(View):
    """How a task sees graphs, each with answers to several questions of yes or no.

    Attributes:
      nodes: Nodes that a graph is padded to. Graphs that have more nodes or edges are left out.
      edges: Edges, which have a direction, that a graph is padded to.
      node_features: Numbers of a node.
      edge_features: Numbers of an edge.
      tasks: Questions.
    """

    nodes: int
    edges: int
    node_features: int
    edge_features: int
    tasks: int

    input_names = ("node", "edge", "sender", "receiver", "node_mask", "edge_mask")
    objective = "velodrome.taskgen.nn.objectives:binary_tasks"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_binary"

    def schema(self) -> Mapping[str, Field]:
        there, end = "1 where there is one, else 0", "number of the node that an edge"
        return {
            "node": floats(self.nodes, self.node_features, meaning="numbers of the nodes"),
            "edge": floats(self.edges, self.edge_features, meaning="numbers of the edges"),
            "sender": integers(self.edges, below=self.nodes, meaning=f"{end} comes from"),
            "receiver": integers(self.edges, below=self.nodes, meaning=f"{end} goes to"),
            "node_mask": floats(self.nodes, meaning=there, role=MASK),
            "edge_mask": floats(self.edges, meaning=there, role=MASK),
            "label": floats(self.tasks, meaning="the answers, 0 or 1"),
            "weight": floats(self.tasks, meaning="1 where the answer is known", role=MASK),
        }


@dataclass(frozen=True)
class PackedGraphView(GraphView):
    """How a task sees graphs that share room, so that little of it is padding.

    A batch has as many graphs as find room, and nothing in its other places: each weight is 0.

    Attributes:
      packed_graphs: Places of a pack. The places of a batch are cut into packs.
      packed_nodes: A pack has room for this many nodes times its places.
      packed_edges: Likewise for edges.
    """

    packed_graphs: int
    packed_nodes: int
    packed_edges: int


@dataclass(frozen=True)
class ReconstructionView(View):
    """How a task sees images that were measured badly, each with the image as it should be.

    Attributes:
      size: Height and width of the centre that the task sees.
    """

    size: int

    input_names = ("image",)
    objective = "velodrome.taskgen.nn.reconstruction:reconstruction"
    normalizer = "velodrome.taskgen.nn.objectives:normalize_regression"

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return self.size * self.size

    def schema(self) -> Mapping[str, Field]:
        both = "(value - mean) / std, cut at six deviations"
        return {
            "image": floats(self.size, self.size, meaning=f"what was measured: {both}"),
            "target": floats(self.size, self.size, meaning=f"what should be seen: {both}"),
            "mean": floats(meaning="mean of what was measured"),
            "std": floats(meaning="its standard deviation"),
            "volume_max": floats(meaning="largest value of the volume that the image is from"),
        }
