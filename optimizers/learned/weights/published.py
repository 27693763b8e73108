"""Which weights of learned optimizers are published, where, by whom, and at what cost.

Celo and celo-adam lie in a git repository: a commit fixes their bytes. The others are on Hugging
Face, where nothing known here fixes them: the hash of the first copy is recorded, as the official
VeLO's is, and a later change is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.files import cache_dir
from velodrome.optimizers.learned.weights import trees
from velodrome.optimizers.learned.weights.trees import Tree
from velodrome.optimizers.metacost import MetaTrainingCost
from velodrome.optimizers.velo.weights.record import FirstUse

_COMMIT = "66d976116f39da286951f0c5e0a18eee8d1fd66b"
_GIT = f"https://raw.githubusercontent.com/amoudgl/celo/{_COMMIT}/algoperf/submissions"
_HUB = "https://huggingface.co/amoudgl/{}/resolve/main/theta.state"

_IN_GIT = "MIT (the licence of amoudgl/celo; none is stated for the weights alone)"
_ON_HUB = "not stated in amoudgl/celo, whose own licence is MIT; see the page of the weights"

_CELO = "its authors (Moudgil et al. 2025, arXiv 2501.12670, abstract)"
_CELO2 = "its authors (arXiv 2602.19142, abstract)"


@dataclass(frozen=True)
class Published:
    """A published learned optimizer.

    Args:
      name: That of the optimizer and of its weights.
      label: Its name in figures and tables.
      tree: What its file holds.
      sizes: Those of the published file, in the order of ``tree.layout.sizes``.
      url: Where its file is.
      licence: Of the weights, as stated where they are published.
      sha256: Of the file; None if nobody has published it.
      size: Of the file, in bytes; as ``sha256``.
      cost: What meta-training it cost, if its authors say so.
    """

    name: str
    label: str
    tree: Tree
    sizes: tuple[int, ...]
    url: str
    licence: str
    sha256: str | None = None
    size: int | None = None
    cost: MetaTrainingCost | None = None

    @property
    def path(self) -> Path:
        """The place of its file in the cache, whether it is there or not."""
        return cache_dir() / "weights" / self.name / "theta.state"

    @property
    def first_use(self) -> FirstUse:
        """Where its hash is recorded, if nobody has published it."""
        return FirstUse(self.path, self.url, self.name)

    def is_published(self, sha256: str) -> bool:
        """Return whether a file of this hash is the published one."""
        return self.first_use.fetched(sha256) if self.sha256 is None else sha256 == self.sha256


def _all(*published: Published) -> Mapping[str, Published]:
    return {one.name: one for one in published}


#: The published learned optimizers by name.
PUBLISHED: Mapping[str, Published] = _all(
    Published(
        "celo",
        "Celo",
        trees.CELO,
        (64, 1),
        f"{_GIT}/celo/theta.state",
        _IN_GIT,
        "35683c6123069c101d62ec1f8b2e6d70d50a43e67ebe09953b27620a7dcb836b",
        149_216,
        MetaTrainingCost(24.0, "GPU hours", _CELO),
    ),
    Published(
        "celo-adam",
        "celo-adam",
        trees.CELO_ADAM,
        (64,),
        f"{_GIT}/celo_adam/theta.state",
        _IN_GIT,
        "99c65fa0218a739c32eac4e8a99523b6fed92e2926d0c5d64e83835637b75d38",
        147_803,
    ),
    Published(
        "celo2",
        "Celo2",
        trees.CELO2,
        (8,),
        _HUB.format("celo2"),
        "MIT",
        cost=MetaTrainingCost(4.5, "GPU hours", _CELO2),
    ),
    Published("celo2-base", "Celo2-base", trees.CELO2, (8,), _HUB.format("celo2-base"), "MIT"),
    Published("velo-s", "velo-s", trees.VELO_S, (64, 32), _HUB.format("velo-s"), _ON_HUB),
    Published(
        "adafac-mlp",
        "adafac-mlp",
        trees.ADAFAC_MLP,
        (4,),
        _HUB.format("adafac-mlp-lopt"),
        _ON_HUB,
    ),
    Published(
        "rnn-mlp",
        "rnn-mlp",
        trees.RNN_MLP,
        (64, 32, 18, 16, 17),
        _HUB.format("rnn-mlp-lopt"),
        _ON_HUB,
    ),
)
