"""Costs of the pieces that families share; each function adds one to a sheet."""

from __future__ import annotations

from collections.abc import Sequence

from velodrome.taskgen.cost.sheet import CostSheet
from velodrome.taskgen.nn.choices import ACTIVATION_FLOPS
from velodrome.taskgen.nn.windows import padded_size


def activate(sheet: CostSheet, size: int, name: str) -> None:
    forward, backward = ACTIVATION_FLOPS[name]
    sheet.elementwise(size, forward=forward, backward=backward)


def cross_entropy(sheet: CostSheet, rows: int, classes: int) -> None:
    """Add softmax cross-entropy of logits [rows, classes] and the mean over the rows."""
    # forward: maximum, subtract, exp, sum, subtract the logarithm;
    # backward: sum, times the softmax (from the kept exp), negate, add to the label's part
    sheet.elementwise(rows * classes, forward=5, backward=4)
    sheet.elementwise(rows, forward=3, backward=1)


def smoothed_cross_entropy(sheet: CostSheet, rows: int, classes: int, smoothing: float) -> None:
    """Add :func:`cross_entropy` with label smoothing, in training."""
    cross_entropy(sheet, rows, classes)
    if smoothing:
        # The mean over the classes; its gradient is added to that of the label.
        sheet.elementwise(rows * classes, forward=1, backward=1, saved=0)
        sheet.elementwise(rows, forward=4, backward=3)


def classification(sheet: CostSheet, rows: int, classes: int, loss: str) -> None:
    """Add the loss called ``loss``, "cross_entropy" or "mse", of logits [rows, classes]."""
    if loss == "cross_entropy":
        cross_entropy(sheet, rows, classes)
    else:  # forward: subtract, square, sum, divide; backward: twice the difference, divided
        sheet.elementwise(rows * classes, forward=3, backward=3)
        sheet.elementwise(rows, forward=2, backward=1)


def convolution(
    sheet: CostSheet,
    *,
    batch: int,
    size: int,
    channels: int,
    features: int,
    kernel: int,
    stride: int,
    input_gradient: bool,
    bias: bool = True,
    padding: int | None = None,
) -> int:
    """Add a square convolution, as a product of patches.

    Its padding is "SAME", or ``padding`` zeros on each side. Taps that fall on the padding count.
    With ``input_gradient``, adding up the gradients of overlapping patches counts too. Return the
    size of the output, in pixels.
    """
    output, before, after = padded_size(size, kernel, stride, padding)
    padded = before + size + after
    rows, taps = batch * output * output, kernel * kernel
    gradients = 1 + input_gradient
    if bias:
        sheet.dense(rows, taps * channels, features, gradients=gradients)
    else:
        sheet.parameters(taps * channels * features)
        sheet.product(rows, taps * channels, features, gradients=gradients)
    sheet.floats_moved += rows * taps * channels  # laying out the patches
    if input_gradient:
        overlap = batch * padded * padded * channels
        sheet.elementwise(overlap, forward=0, backward=taps - 1, saved=0)
        sheet.floats_moved += 2 * taps * overlap  # each tap's share is read, and the sum written
    return output


def patch_embedding(
    sheet: CostSheet, *, batch: int, size: int, channels: int, patch: int, features: int
) -> int:
    """Add a linear map of each patch of square images; return the patches of one image."""
    count = (size // patch) ** 2
    sheet.dense(batch * count, patch * patch * channels, features, gradients=1)
    return count


def embedding(sheet: CostSheet, *, tokens: int, vocab_size: int, size: int) -> None:
    """Add looking up ``tokens`` rows of [vocab_size, size], and adding gradients into them."""
    sheet.parameters(vocab_size * size)
    sheet.elementwise(tokens * size, forward=0, backward=1, saved=0)
    sheet.floats_moved += vocab_size * size  # the gradient is a dense table


def language_model_loss(sheet: CostSheet, tokens: int, vocab_size: int) -> None:
    """Add the masked mean cross-entropy of logits [tokens, vocab_size]."""
    cross_entropy(sheet, tokens, vocab_size)
    sheet.elementwise(tokens, forward=3, backward=1, saved=1)  # masking and counting


def layer_norm(sheet: CostSheet, rows: int, size: int) -> None:
    """Add layer normalisation of [rows, size], with a scale and an offset."""
    sheet.parameters(2 * size)
    # forward: two moments (3), centre, scale twice, offset; backward: their transposes
    sheet.elementwise(rows * size, forward=7, backward=10)


def softmax(sheet: CostSheet, rows: int, size: int) -> None:
    """Add a softmax over the last axis of [rows, size]."""
    # forward: maximum, subtract, exp, sum, divide; backward: divide, multiply, sum, add, multiply
    sheet.elementwise(rows * size, forward=5, backward=5)


def standardize(sheet: CostSheet, size: int) -> None:
    """Add subtracting the mean of the data from ``size`` numbers, and dividing."""
    sheet.elementwise(size, forward=2, backward=0, saved=0)


def batch_norm(sheet: CostSheet, rows: int, size: int) -> None:
    """Add batch normalisation of [rows, size] by the batch's statistics."""
    sheet.parameters(2 * size)
    # forward: mean, centre, square, mean, centre, scale, offset; backward: their transposes
    sheet.elementwise(rows * size, forward=7, backward=12)


def normalize(sheet: CostSheet, rows: int, size: int, name: str) -> None:
    """Add the normalisation called ``name``: "none", "batch_norm" or "layer_norm"."""
    if name != "none":
        {"batch_norm": batch_norm, "layer_norm": layer_norm}[name](sheet, rows, size)


def drop(sheet: CostSheet, size: int, rate: float) -> None:
    """Add dropout of ``size`` numbers, unless its rate is 0."""
    if rate:
        # Drawing the mask (scaling bits to [0, 1) takes three), and dividing.
        sheet.elementwise(size, forward=4, backward=1)


def max_pool(
    sheet: CostSheet,
    *,
    batch: int,
    size: int,
    channels: int,
    window: int,
    stride: int,
    padding: int | None = None,
) -> int:
    """Add the maximum over square windows, with the padding of :func:`convolution`.

    Return the size of the output, in pixels.
    """
    output, _, _ = padded_size(size, window, stride, padding)
    taps = window * window - 1
    # The gradient of each maximum goes to one or, equally, to both of its operands.
    sheet.elementwise(batch * output * output * channels, forward=taps, backward=9 * taps)
    return output


def mean_pool(sheet: CostSheet, rows: int, places: int, features: int) -> None:
    """Add the mean of [rows, places, features] over the places."""
    # A sum forward; the backward pass only repeats.
    sheet.elementwise(rows * places * features, forward=1, backward=0, saved=0)
    sheet.elementwise(rows * features, forward=1, backward=1)


def dense_stack(
    sheet: CostSheet,
    rows: int,
    sizes: Sequence[int],
    *,
    activation: str,
    normalization: str = "none",
    dropout: float = 0.0,
) -> None:
    """Add a :class:`velodrome.taskgen.nn.layers.DenseStack` on ``rows`` images without gradient.

    ``sizes`` are the numbers of an image, the width of each hidden layer, and the outputs.
    """
    *hidden, outputs = sizes[1:]
    width, gradients = sizes[0], 1
    for size in hidden:
        sheet.dense(rows, width, size, gradients=gradients)
        normalize(sheet, rows, size, normalization)
        drop(sheet, rows * size, dropout)
        activate(sheet, rows * size, activation)
        width, gradients = size, 2
    sheet.dense(rows, width, outputs, gradients=gradients)


def attention_block(
    sheet: CostSheet,
    *,
    rows: int,
    length: int,
    width: int,
    heads: int,
    head_dim: int,
    hidden: int,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
) -> None:
    """Add attention and an MLP on [rows, length, width], each after a layer norm and added.

    ``dropout`` acts on what both add and on the hidden layer, ``attention_dropout`` on weights.
    """
    tokens, inner = rows * length, heads * head_dim
    layer_norm(sheet, tokens, width)
    for _ in ("query", "key", "value"):
        sheet.dense(tokens, width, inner)
    sheet.elementwise(tokens * inner, forward=1, backward=1, saved=0)  # scaled queries
    sheet.product(length, head_dim, length, times=rows * heads)
    softmax(sheet, rows * heads * length, length)
    drop(sheet, rows * heads * length * length, attention_dropout)
    sheet.product(length, length, head_dim, times=rows * heads)
    sheet.dense(tokens, inner, width)
    drop(sheet, tokens * width, dropout)
    sheet.elementwise(2 * tokens * width, forward=1, backward=2)  # gradients meet three times
    layer_norm(sheet, tokens, width)
    sheet.dense(tokens, width, hidden)
    activate(sheet, tokens * hidden, "gelu")
    drop(sheet, tokens * hidden, dropout)
    sheet.dense(tokens, hidden, width)
    drop(sheet, tokens * width, dropout)
