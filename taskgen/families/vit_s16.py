"""Image classification by ViT-S/16 (the workload ``imagenet_vit`` of MLCommons AlgoPerf).

It has the blocks of the family "vit", but no class token: fixed sines and cosines tell the places
of patches, and the mean over the patches goes through a dense layer with a tanh before the last
layer, which starts at zero (Beyer et al. 2022, arXiv 2205.01580, and the reference's code). The
defaults are the workload's: 22,122,472 parameters on images of ImageNet.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView


@dataclass(frozen=True)
class ViTS16Config:
    """Config of the family "vit_s16"; the distributions are ours.

    Attributes:
      num_layers: Blocks of attention and MLP.
      num_heads: Attention heads.
      head_dim: Width of keys, queries and values of a head; ``num_heads`` times this is the width
        of the model. A quarter of the width, rounded down, is the number of frequencies.
      mlp_dim: Width of the MLP's hidden layer.
      patch_size: Height and width of a patch, at most ``image_size``. Pixels that fill no patch
        are left out.
      image_size: Height and width in pixels that images are resized to.
      dropout: Rate, while training, after adding the positions, after attention, and twice in
        the MLP; weights of attention are not dropped.
      label_smoothing: The part of a label that is spread over all classes, while training.
      mixup: While training, images and labels are mixed with those before them, by a part from
        Beta(mixup, mixup); 0 mixes nothing. The workload has 0.2.
    """

    num_layers: int = static(log_int(1, 8), allowed=(1, 256), default=12)
    num_heads: int = static(log_int(1, 8), allowed=(1, 256), default=6)
    head_dim: int = static(choice((8, 16, 32, 64)), allowed=(1, 1024), default=64)
    mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=1536)
    patch_size: int = static(choice((2, 4, 8, 16)), allowed=(1, 256), default=16)
    image_size: int = static(log_int(16, 64), allowed=(1, 512), default=224)
    dropout: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)
    label_smoothing: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)
    mixup: float = static(fixed(0.0), allowed=(0.0, 10.0), default=0.0)

    def __post_init__(self):
        if self.patch_size > self.image_size:
            most = f"at most config.image_size, which is {self.image_size}"
            raise SpecError("config.patch_size", self.patch_size, most)

    @property
    def hidden_size(self) -> int:
        """The model's width."""
        return self.num_heads * self.head_dim

    @property
    def attention_dropout(self) -> float:
        return 0.0


def cost(config: ViTS16Config, view: ImageView, batch_size: int) -> Cost:
    rows, width = batch_size, config.hidden_size
    sheet = CostSheet()

    costing.standardize(sheet, rows * view.pixels)
    if config.mixup:
        sheet.elementwise(rows * view.pixels, forward=3, backward=0, saved=0)
    length = costing.patch_embedding(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        patch=config.patch_size,
        features=width,
    )
    tokens = rows * length
    sheet.elementwise(tokens * width, forward=1, backward=0, saved=0)  # positions
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
        )
    costing.layer_norm(sheet, tokens, width)
    costing.mean_pool(sheet, rows, length, width)
    sheet.dense(rows, width, width)
    costing.activate(sheet, rows * width, "tanh")
    sheet.dense(rows, width, view.num_classes)
    costing.smoothed_cross_entropy(sheet, rows, view.num_classes, config.label_smoothing)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="vit_s16",
    config=ViTS16Config,
    network="velodrome.taskgen.families.networks.vit_s16:ViTS16",
    batch_size=log_int(4, 256),
    cost=cost,
    objective="velodrome.taskgen.nn.losses:smoothed_classification",
    normalize="velodrome.taskgen.nn.losses:normalize_deep_classification",
    shrink={
        "num_heads": 1,
        "head_dim": 8,
        "mlp_dim": 32,
        "image_size": 16,  # the largest patch that is drawn
        "batch_size": 4,
        "num_layers": 1,
    },
)
