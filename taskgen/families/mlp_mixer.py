"""Image classification by an MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601).

Only fixed tasks (``MLPMixer_*``) are published, and no family to sample from: the distributions
are those of the family "vit" where the fields are alike, and ours elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView


@dataclass(frozen=True)
class MLPMixerConfig:
    """Config of the family "mlp_mixer".

    Attributes:
      num_layers: Blocks, each mixing tokens and then channels.
      hidden_size: Numbers of a token.
      tokens_mlp_dim: Width of the hidden layer of the MLPs along the tokens.
      channels_mlp_dim: Width of the hidden layer of the MLPs along the channels.
      patch_size: Height and width of a patch. Pixels that fill no patch are left out.
      image_size: Height and width in pixels that images are resized to; at least a patch.
    """

    num_layers: int = static(log_int(1, 16), allowed=(1, 256), default=2)
    hidden_size: int = static(log_int(16, 512), allowed=(1, 65_536), default=64)
    tokens_mlp_dim: int = static(log_int(16, 256), allowed=(1, 65_536), default=32)
    channels_mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=128)
    patch_size: int = static(choice((2, 4, 8)), allowed=(1, 256), default=4)
    image_size: int = static(log_int(8, 64), allowed=(1, 256), default=16)


def tokens(config: MLPMixerConfig) -> int:
    """Return the patches of an image; raise a SpecError if a patch is larger than the image."""
    count = (config.image_size // config.patch_size) ** 2
    if not count:
        raise SpecError("config.patch_size", config.patch_size, f"at most {config.image_size}")
    return count


def cost(config: MLPMixerConfig, view: ImageView, batch_size: int) -> Cost:
    rows, width, count = batch_size, config.hidden_size, tokens(config)
    sheet = CostSheet()
    costing.patch_embedding(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        patch=config.patch_size,
        features=width,
    )
    ways = (
        (rows * width, count, config.tokens_mlp_dim),
        (rows * count, width, config.channels_mlp_dim),
    )
    for _ in range(config.num_layers):
        for vectors, size, hidden in ways:
            costing.layer_norm(sheet, rows * count, width)
            sheet.dense(vectors, size, hidden)
            costing.activate(sheet, vectors * hidden, "gelu")
            sheet.dense(vectors, hidden, size)
            sheet.elementwise(rows * count * width, forward=1, backward=1)  # the sum
    costing.layer_norm(sheet, rows * count, width)
    costing.mean_pool(sheet, rows, count, width)
    sheet.dense(rows, width, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="mlp_mixer",
    config=MLPMixerConfig,
    network="velodrome.taskgen.families.networks.patches:MLPMixer",
    batch_size=log_int(4, 256),
    cost=cost,
    normalize="velodrome.taskgen.nn.losses:normalize_deep_classification",
    shrink={
        "hidden_size": 16,
        "channels_mlp_dim": 32,
        "tokens_mlp_dim": 16,
        "batch_size": 4,
        "num_layers": 1,
    },
)
