"""The cost of one training step of a task, in integers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

BYTES_PER_FLOAT = 4

OPTIMIZER_COPIES = 8
"""Parameter-sized arrays that are alive in training: parameters, gradient, update, and five of
optimizer state (VeLO keeps three momenta, one second moment and factored ones; Adam two)."""


@dataclass(frozen=True)
class Cost:
    """The cost of one training step: forward and backward pass, without the optimizer.

    A FLOP is one addition, multiplication, division, maximum, or elementary function of one
    number; a multiply-add counts two. Comparisons, selections, random bits and data movement
    count none.

    Attributes:
      flops: FLOPs of the forward and backward pass over one batch.
      bytes: Bytes read and written to memory, if everything between two kernels goes there.
      params: Number of trainable scalars.
      activation_bytes: Bytes kept from the forward pass for the backward pass, and the batch.
      eval_flops_per_example: FLOPs of the forward pass for one example.
      kernels: Operations that run one after the other, each a matrix product or a chain of
        elementwise work; those in a loop over time count once for each time.
      product_bytes: Those of ``bytes`` that matrix products and convolutions read and write.
      product_activation_bytes: Those of ``activation_bytes`` that are kept for products.
      gradients: Gradients that are alive together: 2 where those of a batch's parts are added up.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> velodrome.cost(spec).params
      650
    """

    flops: int
    bytes: int
    params: int
    activation_bytes: int
    eval_flops_per_example: int
    kernels: int = 1
    product_bytes: int = field(default=0, repr=False)
    product_activation_bytes: int = field(default=0, repr=False)
    gradients: int = field(default=1, repr=False)

    @property
    def memory_bytes(self) -> int:
        """Device memory that training needs: parameters, optimizer state, activations."""
        # Activations count twice: their gradients live beside them in the backward pass.
        copies = OPTIMIZER_COPIES - 1 + self.gradients
        return BYTES_PER_FLOAT * copies * self.params + 2 * self.activation_bytes

    def in_bfloat16(self) -> Cost:
        """Return the cost if products take their operands in bfloat16.

        Elementwise work counts as in float32: what is near sums, norms and softmax is, and which
        part of the rest that is depends on the network.
        """
        return dataclasses.replace(
            self,
            bytes=self.bytes - self.product_bytes // 2,
            activation_bytes=self.activation_bytes - self.product_activation_bytes // 2,
            product_bytes=self.product_bytes // 2,
            product_activation_bytes=self.product_activation_bytes // 2,
        )

    def accumulated(self, parts: int, part_floats: int) -> Cost:
        """Return the cost of ``parts`` such steps whose gradients are added up for one update.

        Args:
          part_floats: Numbers of the batch of each; the batches of all are there together.
        """
        added = 3 * BYTES_PER_FLOAT * self.params  # two are read and one is written
        return dataclasses.replace(
            self,
            flops=parts * (self.flops + self.params),
            bytes=parts * (self.bytes + added),
            activation_bytes=self.activation_bytes + (parts - 1) * BYTES_PER_FLOAT * part_floats,
            kernels=parts * self.kernels,
            product_bytes=parts * self.product_bytes,
            gradients=2,
        )

    def to_json(self) -> dict[str, int]:
        names = ("flops", "bytes", "params", "activation_bytes", "eval_flops_per_example")
        values = {name: getattr(self, name) for name in (*names, "kernels")}
        return {**values, "memory_bytes": self.memory_bytes}


class CostSheet:
    """Add up the cost of a network, layer by layer, in the order of its forward pass.

    The FLOPs are those of the traced program, not an estimate: a test compares them. The bytes
    assume that every product reads and writes its operands, and that a chain of elementwise
    operations is one kernel.
    """

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0
        self.params = 0
        self.floats_moved = 0
        self.floats_saved = 0
        self.product_floats_moved = 0
        self.product_floats_saved = 0
        self.kernels = 0

    def parameters(self, count: int) -> None:
        self.params += count

    def product(
        self,
        rows: int,
        inner: int,
        columns: int,
        *,
        times: int = 1,
        gradients: int = 2,
        sequential: int = 1,
    ) -> None:
        """Add ``times`` products of [rows, inner] and [inner, columns] matrices.

        The backward pass computes ``gradients`` for 2 operands, or for 1 where the left one is
        data. The work is done in ``sequential`` pieces, one after the other.
        """
        flops = 2 * rows * inner * columns * times
        self.forward += flops
        self.backward += gradients * flops
        touched = (rows * inner + inner * columns + rows * columns) * times
        self.product_floats_moved += (1 + gradients) * touched
        self.product_floats_saved += rows * inner * times
        self.kernels += (1 + gradients) * sequential

    def dense(self, rows: int, n_in: int, n_out: int, *, gradients: int = 2) -> None:
        """Add a linear layer with bias, its parameters included."""
        self.parameters(n_in * n_out + n_out)
        self.product(rows, n_in, n_out, gradients=gradients)
        self.elementwise(rows * n_out, forward=1, backward=1, saved=0)  # bias, and its gradient

    def elementwise(
        self, size: int, *, forward: int, backward: int, saved: int = 1, sequential: int = 1
    ) -> None:
        """Add elementwise work on ``size`` numbers.

        ``forward`` and ``backward`` are FLOPs for each number; ``saved`` numbers for each are kept
        for the backward pass.
        """
        self.forward += forward * size
        self.backward += backward * size
        self.floats_moved += 5 * size  # forward: read, write; backward: read two, write one
        self.floats_saved += saved * size
        self.kernels += 2 * sequential

    def total(self, *, batch_size: int, batch_floats: int) -> Cost:
        """Return the cost of a step on a batch of ``batch_floats`` numbers."""
        # The last term: parameters are read, and their gradients written, once more.
        moved = self.floats_moved + self.product_floats_moved + 2 * batch_floats + 2 * self.params
        saved = self.floats_saved + self.product_floats_saved + batch_floats
        return Cost(
            flops=self.forward + self.backward,
            bytes=BYTES_PER_FLOAT * moved,
            params=self.params,
            activation_bytes=BYTES_PER_FLOAT * saved,
            eval_flops_per_example=self.forward // batch_size,
            kernels=self.kernels,
            product_bytes=BYTES_PER_FLOAT * self.product_floats_moved,
            product_activation_bytes=BYTES_PER_FLOAT * self.product_floats_saved,
        )
