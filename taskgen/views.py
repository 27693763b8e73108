"""How a task sees a data set: images of one size, sequences of one length, or rows of a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageView:
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

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return self.size * self.size * self.channels


@dataclass(frozen=True)
class TextView:
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


@dataclass(frozen=True)
class TableView:
    """How a task sees a table: rows of numbers, each with a label.

    Attributes:
      columns: Numbers in a row.
      num_classes: Number of labels.
    """

    columns: int
    num_classes: int


View = ImageView | TextView | TableView
