"""Costs of the pieces that families share: activations, cross-entropy, normalisation, dropout."""

from __future__ import annotations

from taskgen import activations
from taskgen.cost import CostSheet


def activation(sheet: CostSheet, size: int, name: str) -> None:
    """Adds an activation of ``size`` numbers."""
    forward, backward = activations.FLOPS[name]
    sheet.elementwise(size, forward=forward, backward=backward)


def cross_entropy(sheet: CostSheet, rows: int, classes: int) -> None:
    """Adds softmax cross-entropy of logits [rows, classes] and the mean over the rows."""
    # forward: maximum, subtract, exp, sum, subtract the logarithm;
    # backward: gather's zeros, exp of log-softmax times the sum, subtract
    sheet.elementwise(rows * classes, forward=5, backward=3)
    sheet.elementwise(rows, forward=3, backward=1)
