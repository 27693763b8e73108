"""Separable CMA-ES with mirrored candidates, by the library cma, resumable by replay."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from velodrome.foundation.errors import StoreError
from velodrome.foundation.extras import optional
from velodrome.optimizers.metatrain.config.search import StrategyConfig
from velodrome.optimizers.metatrain.directory import OTHERWISE
from velodrome.optimizers.metatrain.log import Record


class Strategy:
    """Makes candidates, and learns from their aims.

    Everything random comes from one generator, so that the same aims in the same order lead to the
    same state.

    Args:
      config: How candidates are made.
      dimensions: How many numbers a candidate has; the first candidates are around 0.
    """

    def __init__(self, config: StrategyConfig, dimensions: int, *, seed: int):
        generator = np.random.default_rng(seed)
        options = {
            "CMA_diagonal": True,
            "CMA_mirrors": config.population // 2,
            "CMA_mirrormethod": 0,
            "popsize": config.population,
            "minstd": config.least,
            "randn": lambda *shape: generator.standard_normal(shape),
            "seed": math.nan,  # leaves numpy's global generator alone
            "verbose": -9,
        }
        cma = optional("cma", extra="search", needed_by="a search")
        self._evolution = cma.CMAEvolutionStrategy(dimensions * [0.0], config.sigma, options)
        self._decay = config.average
        self.average: Float[np.ndarray, " numbers"] = np.zeros(dimensions)

    def ask(self) -> list[Float[np.ndarray, " numbers"]]:
        return self._evolution.ask()

    def tell(self, candidates: Sequence[np.ndarray], aims: Sequence[float]) -> None:
        """Learn from the candidates' aims; more is better."""
        with warnings.catch_warnings():
            # cma warns of what it would stop at; a noisy aim makes it want to.
            warnings.simplefilter("ignore")
            self._evolution.tell(candidates, [-aim for aim in aims])
        self.average = self._decay * self.average + (1.0 - self._decay) * self._evolution.mean

    def replay(self, record: Record) -> None:
        """Learn again from a generation that was measured before.

        Raises:
          StoreError: The candidates were others, such as those of another version of cma.
        """
        candidates = self.ask()
        if self.fingerprint(candidates) != record.get("candidates"):
            raise StoreError(
                f"generation {record.get('generation')} of the log had other candidates than this "
                f"version of cma and numpy makes, or its line was changed. {OTHERWISE}"
            )
        self.tell(candidates, record["aims"])

    @staticmethod
    def fingerprint(candidates: Sequence[np.ndarray]) -> str:
        return hashlib.sha256(np.asarray(candidates, "<f8").tobytes()).hexdigest()[:16]
