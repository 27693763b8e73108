"""The facts that stand beside every figure and table: suite, protocol, data, weights, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from velodrome.foundation.text import plural
from velodrome.results.store.baseline_mode import BaselineMode

DATA_KINDS = {
    "real": "real data",
    "built-in": "built-in real data",
    "own": "the user's own data",
    "stand-in": "stand-in data",
    "synthetic": "synthetic curves made of formulas (nothing was trained)",
}


@dataclass(frozen=True)
class Context:
    """Facts about a store that belong next to its results.

    Attributes:
      suite: Its name.
      steps: Horizon N of the candidates.
      budget: Last step of the baseline.
      eval_every: Steps between evaluations.
      baseline: Its label.
      rates: Number of learning rates of its sweep; on the median task if they were refined.
      seeds: Planned seeds.
      data: Kinds of data used, in words.
      labels: Candidates' labels, with the weights of the learned ones, in a fixed order.
      tasks: Planned tasks.
      mode: How far the baseline's sweep was run.
      stopped: Tasks on which it stopped before its budget.
      undecided: Those of them on which a longer sweep could change a speedup.
      baseline_ran: Whether there is any run of the baseline; without one there are no speedups.
      meta_training: Its cost by label; see ``velodrome.results.store.provenance.costs_by_label``.
      imported: Labels of the optimizers whose curves were made elsewhere.
    """

    suite: str
    protocol: Mapping[str, object]
    steps: int
    budget: int
    eval_every: int
    baseline: str
    rates: int
    seeds: int
    data: str
    labels: tuple[str, ...]
    tasks: int
    mode: BaselineMode = BaselineMode()
    stopped: int = 0
    undecided: int = 0
    baseline_ran: bool = True
    meta_training: Mapping[str, str] = field(default_factory=dict)
    imported: tuple[str, ...] = ()

    @property
    def multiple(self) -> float:
        """How many times as long the baseline ran: no speedup in steps can exceed it."""
        return self.budget / self.steps if self.steps else float("nan")

    @property
    def made_up(self) -> bool:
        """Whether some data are stand-ins, or the curves formulas."""
        return "stand-in" in self.data or "synthetic" in self.data

    @property
    def tuned(self) -> str:
        """The baseline in words."""
        return f"LR-tuned {self.baseline}" if self.rates > 1 else self.baseline

    @property
    def refined(self) -> bool:
        """Whether more rates were tried around the best ones, on each task its own."""
        return self.protocol.get("refine") is not None

    @property
    def line(self) -> str:
        """One line for captions."""
        version = self.protocol.get("version")
        sweep = f" over {self.rates} learning rates" if self.rates > 1 else ""
        if self.refined and sweep:
            gain = f"{self.protocol['refine']:.3g} of the loss"
            sweep += f" on the median task (refined until a round gained under {gain})"
        fewer = f"; fewer on {self.stopped} of {plural(self.tasks, 'task')}" if self.stopped else ""
        ran = f"{self.baseline}{sweep}, {self.budget:,} steps ({self.mode}{fewer})"
        return (
            f"Suite {self.suite}, protocol version {version}: {self.steps:,} steps; "
            f"{ran if self.baseline_ran else f'no runs of {self.baseline}'}; "
            f"{plural(self.seeds, 'seed')}; {self.data}.{self._imports}"
        )

    @property
    def _imports(self) -> str:
        if not self.imported:
            return ""
        return f" Made elsewhere, in steps only: {', '.join(self.imported)}."

    def caption(self, text: str, counts: str = "", **facts: object) -> str:
        """Return the line, counts, and ``text`` with ``{baseline}``, ``{steps}``, ... filled in."""
        known = {"baseline": self.baseline, "steps": self.steps, "budget": self.budget}
        return " ".join(filter(None, [self.line, counts, text.format(**known, **facts)]))


def data_text(kinds: Iterable[object]) -> str:
    """Return kinds of data in words; stand-ins are always named."""
    words = sorted({DATA_KINDS.get(str(kind), f"data of kind {kind}") for kind in kinds if kind})
    return " and ".join(words) or "data of unknown kind"


def as_long(context: Context) -> str:
    """Return for how long the baseline was run, measured by the candidates' steps.

    As in ``Adam was run 5 times as long``.
    """
    how = "as long" if context.multiple == 1 else f"{times(context.multiple)[:-1]} times as long"
    how = f"up to {how}" if context.stopped else how
    return f"{context.baseline} was run {how}"


def times(multiple: float) -> str:
    """Return a multiple in words: ``5x``, ``2.5x``."""
    return f"{multiple:.10g}x" if multiple == round(multiple, 3) else f"{multiple:.3g}x"
