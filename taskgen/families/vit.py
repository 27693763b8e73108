"""Image classification by a transformer on patches (``vit`` of the published tasks).

The vision transformer of Dosovitskiy et al. 2020 (arXiv 2010.11929): a class token before the
patches, learned positions, blocks with the norm first, a linear map of the class token.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import boolean, choice, log_int, uniform_float
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView

HEADS = log_int(1, 16)
FEW_HEADS = 4
DROPPING = boolean(0.7)
DROPOUT_RATE = uniform_float(0.0, 0.8)


@dataclass(frozen=True)
class HeadDim:
    """The width of a head: networks with few heads may have wider ones."""

    def sample(self, rng: NamedRng, name: str, /) -> int:
        few = HEADS.sample(rng, "num_heads") < FEW_HEADS  # the config draws this number too
        return log_int(8, 64 if few else 32).sample(rng, name)

    def describe(self) -> str:
        few, many = log_int(8, 64).describe(), log_int(8, 32).describe()
        return f"{few} with fewer than {FEW_HEADS} heads, else {many}"


@dataclass(frozen=True)
class DropoutRate:
    """A rate, or 0 for both rates of a task without dropout."""

    def sample(self, rng: NamedRng, name: str, /) -> float:
        dropping = DROPPING.sample(rng, "use_dropout")
        return DROPOUT_RATE.sample(rng, name) if dropping else 0.0

    def describe(self) -> str:
        return f"{DROPOUT_RATE.describe()} with probability 0.7 for both rates together, else 0"


@dataclass(frozen=True)
class ViTConfig:
    """Config of the family "vit"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      num_layers: Blocks of attention and MLP.
      num_heads: Attention heads.
      head_dim: Width of keys, queries and values of a head; ``num_heads`` times this is the width
        of the model.
      mlp_dim: Width of the MLP's hidden layer.
      patch_size: Height and width of a patch. Pixels that fill no patch are left out.
      image_size: Height and width in pixels that images are resized to.
      dropout: Rate, while training, after adding the positions, after attention, and twice in
        the MLP.
      attention_dropout: Rate, while training, on the weights of attention.
    """

    num_layers: int = static(log_int(1, 16), allowed=(1, 256), default=2)
    num_heads: int = static(HEADS, allowed=(1, 256), default=4)
    head_dim: int = static(HeadDim(), allowed=(1, 1024), default=16)
    mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=128)
    patch_size: int = static(choice((2, 4, 8, 12, 16)), allowed=(1, 256), default=4)
    image_size: int = static(log_int(8, 64), allowed=(1, 256), default=16)
    dropout: float = static(DropoutRate(), allowed=(0.0, 0.99), default=0.0)
    attention_dropout: float = static(DropoutRate(), allowed=(0.0, 0.99), default=0.0)

    @property
    def hidden_size(self) -> int:
        """The model's width."""
        return self.num_heads * self.head_dim


def cost(config: ViTConfig, view: ImageView, batch_size: int) -> Cost:
    rows, width = batch_size, config.hidden_size
    sheet = CostSheet()

    length = 1 + costing.patch_embedding(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        patch=config.patch_size,
        features=width,
    )
    tokens = rows * length
    sheet.parameters(width + length * width)
    sheet.elementwise(tokens * width, forward=1, backward=1)  # positions
    costing.drop(sheet, tokens * width, config.dropout)
    for _ in range(config.num_layers):
        costing.attention_block(
            sheet,
            rows=rows,
            length=length,
            width=width,
            heads=config.num_heads,
            head_dim=config.head_dim,
            hidden=config.mlp_dim,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(rows, width, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="vit",
    config=ViTConfig,
    network="velodrome.taskgen.families.networks.patches:ViT",
    batch_size=log_int(4, 256),
    cost=cost,
    normalize="velodrome.taskgen.nn.losses:normalize_deep_classification",
    shrink={
        "num_heads": 1,
        "head_dim": 8,
        "mlp_dim": 32,
        "image_size": 8,
        "batch_size": 4,
        "num_layers": 1,
    },
)
