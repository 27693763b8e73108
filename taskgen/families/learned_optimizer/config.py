"""The configs of the families that train a learned optimizer."""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.families import cnn, mlp
from velodrome.taskgen.nn import choices
from velodrome.taskgen.schema import View
from velodrome.taskgen.space.distributions import boolean, choice, fixed, log_float, log_int
from velodrome.taskgen.space.fields import config_fields, dynamic, static

RULES = ("adam", "sgdm", "sgd", "mlp", "adafactor_mlp")
INNER = {"mlp": mlp.family, "cnn": cnn.family}


@dataclass(frozen=True)
class InnerConfig:
    """The inner problem; distributions of Metz et al. 2022 (arXiv 2211.09760), family ``lopt``.

    Attributes:
      inner: Family of the inner task, which explains the fields from ``hidden_size`` to ``grey``;
        "mlp" ignores those of "cnn" and the other way round.
      inner_batch_size: Examples in an inner batch.
      rule: The update rule that is trained: the numbers of Adam, of gradient descent with
        momentum or without, a per-parameter network, or one with Adafactor's features.
      rule_hidden_size: Width of the per-parameter network's hidden layers.
      rule_hidden_layers: Number of its hidden layers.
      step_multiplier: Factor of a network's steps.
      exp_multiplier: Factor of a network's magnitude, in the exponent.
    """

    inner: str = static(fixed("mlp"), allowed=tuple(INNER), default="mlp")
    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=1)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = choices.activation_field()
    initializer: str = choices.initializer_field(default="truncated")
    init_scale: float = choices.init_scale_field()
    first_hidden_size: int = static(fixed(0), allowed=(0, 4096), default=0)
    num_stride2: int = static(fixed(1), allowed=(0, 8), default=1)
    grey: bool = static(boolean(0), default=False)
    inner_batch_size: int = static(log_int(4, 512), allowed=(1, 65_536), default=128)
    rule: str = static(choice(RULES), allowed=RULES, default="adafactor_mlp")
    rule_hidden_size: int = static(log_int(2, 512), allowed=(1, 4096), default=4)
    rule_hidden_layers: int = static(log_int(1, 4), allowed=(0, 64), default=2)
    step_multiplier: float = dynamic(log_float(1e-5, 1.0), allowed=(1e-9, 1e3), default=1e-3)
    exp_multiplier: float = dynamic(log_float(1e-5, 1.0), allowed=(1e-9, 1e3), default=1e-3)


def inner_config(config: InnerConfig) -> mlp.MLPConfig | cnn.CNNConfig:
    """Return the inner task's config: the fields that it shares with ``config``."""
    kind = INNER[config.inner].config
    shared = config_fields(kind).keys() & config_fields(type(config)).keys()
    return kind(**{name: getattr(config, name) for name in shared})


def view(config: InnerConfig, info: DatasetInfo) -> View:
    """Return how the inner task sees a data set."""
    return INNER[config.inner].view(inner_config(config), info)


@dataclass(frozen=True)
class LearnedOptimizerConfig(InnerConfig):
    """Config of the family "learned_optimizer"; distributions of Metz et al. 2022 (2211.09760).

    Attributes:
      unroll_length: Inner steps; published from 1 on, but the first loss precedes the first update,
        so that it alone gives a rule no gradient.
      problems: Inner problems whose mean is the loss.
      es_pairs: 0: the gradient is the true one, through the unroll. Otherwise it is estimated
        from this number of antithetic pairs of perturbed rules.
      es_std: Standard deviation of the perturbations.
    """

    unroll_length: int = static(log_int(2, 100), allowed=(2, 100_000), default=10)
    problems: int = static(log_int(1, 8), allowed=(1, 1024), default=1)
    es_pairs: int = static(fixed(0), allowed=(0, 1024), default=0)
    es_std: float = static(fixed(0.01), allowed=(1e-6, 10.0), default=0.01)


@dataclass(frozen=True)
class LearnedOptimizerPESConfig(InnerConfig):
    """Config of "learned_optimizer_pes"; distributions of Metz et al. 2022 (2211.09760).

    They are those of the published family ``lopt_trunc`` where its problems have a fixed length
    and its estimator is this one.

    Attributes:
      problems: Inner problems, each with an antithetic pair of rules.
      problem_length: Inner steps from a start to the next.
      unroll_length: Inner steps in a truncation; published from 1 on, but then the first estimate
        is zero, because the first loss precedes the first update.
      std: Standard deviation of the perturbations.
      credit: "exact": every loss is credited to the perturbations that it is due to. "published":
        as the code of Metz et al. 2022 does, see
        :mod:`velodrome.taskgen.families.learned_optimizer.pes`.
    """

    problems: int = static(log_int(8, 64), allowed=(1, 4096), default=4)
    problem_length: int = static(log_int(10, 10_000), allowed=(1, 1_000_000), default=50)
    unroll_length: int = static(log_int(2, 100), allowed=(2, 100_000), default=5)
    std: float = static(fixed(0.01), allowed=(1e-6, 10.0), default=0.01)
    credit: str = static(fixed("exact"), allowed=("exact", "published"), default="exact")

    @property
    def restarts(self) -> int:
        """How often an inner problem can start again within a truncation."""
        return -(-self.unroll_length // (self.problem_length + 1))
