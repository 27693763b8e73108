"""The task families, by name. Another one is one file and one line here, or an entry point."""

from __future__ import annotations

from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.registry import Registry
from velodrome.taskgen.family import Family, ImageView, TextView

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

families.register_lazy("mlp", "velodrome.taskgen.families.mlp:family")
families.register_lazy("cnn", "velodrome.taskgen.families.cnn:family")
families.register_lazy("rnn", "velodrome.taskgen.families.rnn:family")
families.register_lazy("transformer", "velodrome.taskgen.families.transformer:family")
families.register_lazy("autoencoder", "velodrome.taskgen.families.autoencoder:family")
families.register_lazy("resnet", "velodrome.taskgen.families.resnet:family")
families.register_lazy("vit", "velodrome.taskgen.families.vit:family")
families.register_lazy("mlp_mixer", "velodrome.taskgen.families.mlp_mixer:family")
families.register_lazy("es_wrapped", "velodrome.taskgen.families.es_wrapped:family")
families.register_lazy(
    "learned_optimizer", "velodrome.taskgen.families.learned_optimizer.es:family"
)
families.register_lazy(
    "learned_optimizer_pes", "velodrome.taskgen.families.learned_optimizer.pes:family"
)
