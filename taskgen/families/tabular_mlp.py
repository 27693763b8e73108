"""Classification of the rows of a table, or regression, by a multi-layer perceptron."""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import choices, costing
from velodrome.taskgen.space.distributions import choice, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import RegressionView, TableView


@dataclass(frozen=True)
class TabularMLPConfig:
    """Config of the family "tabular_mlp": the fields and distributions of "mlp", without an image.

    Attributes:
      hidden_size: Width of every hidden layer.
      num_layers: Hidden layers; 0 is multinomial logistic regression, or linear regression.
      activation: After every hidden layer.
      initializer: Initialises all kernels, the output's included. Biases start at 0.
      init_scale: See `velodrome.taskgen.nn.choices.INITIALIZERS`.
    """

    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=2)
    activation: str = choices.activation_field()
    initializer: str = choices.initializer_field()
    init_scale: float = choices.init_scale_field()


def sizes(config: TabularMLPConfig, view: TableView | RegressionView) -> list[int]:
    """Return the sizes of the network's layers, from the row to what is predicted."""
    return [view.columns, *[config.hidden_size] * config.num_layers, view.outputs]


def cost(config: TabularMLPConfig, view: TableView | RegressionView, batch_size: int) -> Cost:
    sheet = CostSheet()
    costing.dense_stack(sheet, batch_size, sizes(config, view), activation=config.activation)
    loss = "mse" if isinstance(view, RegressionView) else "cross_entropy"
    costing.classification(sheet, batch_size, view.outputs, loss)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="tabular_mlp",
    config=TabularMLPConfig,
    network="velodrome.taskgen.families.networks.dense:TabularMLP",
    data_kind="table",
    cost=cost,
    batch_size=log_int(4, 128),  # tables are often small
    shrink={"hidden_size": 8, "batch_size": 4, "num_layers": 1},
)
