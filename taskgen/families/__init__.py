"""The task families, by name. Another one is one file and one line here, or an entry point."""

from __future__ import annotations

from typing import Any

from foundation.errors import VelodromeError
from foundation.registry import Registry
from taskgen.families.base import Family, ImageView, TextView

__all__ = ["Family", "ImageView", "TextView", "families"]


def _check(name: str, value: Any) -> None:
    if not isinstance(value, Family):
        raise VelodromeError(
            f"the family {name!r} is of type {type(value).__name__}, but must be a "
            "velodrome.Family."
        )


families: Registry[Family] = Registry(
    "family",
    group="velodrome.families",
    check=_check,
    definition=lambda family: family.network or family.build,
)

families.register_lazy("mlp", "taskgen.families.mlp:family")
families.register_lazy("cnn", "taskgen.families.cnn:family")
families.register_lazy("rnn", "taskgen.families.rnn:family")
families.register_lazy("transformer", "taskgen.families.transformer:family")
families.register_lazy("autoencoder", "taskgen.families.autoencoder:family")
families.register_lazy("resnet", "taskgen.families.resnet:family")
families.register_lazy("vit", "taskgen.families.vit:family")
families.register_lazy("mlp_mixer", "taskgen.families.mlp_mixer:family")
families.register_lazy("es_wrapped", "taskgen.families.es_wrapped:family")
families.register_lazy("learned_optimizer", "taskgen.families.learned_optimizer:family")
families.register_lazy("learned_optimizer_pes", "taskgen.families.learned_optimizer_pes:family")
