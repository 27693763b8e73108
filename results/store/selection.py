"""`Selection`: which question of a store to answer, and which of its runs to show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from velodrome.foundation.errors import StoreError, UnknownNameError
from velodrome.foundation.files import resolved
from velodrome.results.store import question
from velodrome.results.store.records import Manifest
from velodrome.results.store.store import Store


@dataclass(frozen=True)
class Selection:
    """What to show of a store; by default all of the last question.

    Attributes:
      question: Name or number of the question.
      suite: Instead: the last question that was asked of this suite.
      steps: Instead, or besides: the last one with so many steps of the candidates.
      optimizers: Names; the others are left out. The baseline is always shown.
      seeds: Only the first seeds.

    Examples:
      >>> two_seeds = velodrome.Selection(seeds=2)
      >>> results = velodrome.read_results("runs/mine", select=two_seeds)
    """

    question: str | int | None = None
    suite: str | None = None
    steps: int | None = None
    optimizers: Sequence[str] | None = None
    seeds: int | None = None

    def open(self, directory: str | os.PathLike[str]) -> Store:
        """Open a store for reading, with what is selected.

        Raises:
          StoreError: There is no store, or no such question in it.
          UnknownNameError: It has no such optimizer.
        """
        if self.suite is None and self.steps is None:
            store = Store.open(directory, question_name=self.question, read_only=True)
        else:
            store = self._last_that_fits(resolved(directory))
        return self._narrowed(store)

    def _last_that_fits(self, directory: Path) -> Store:
        names: list[str | int | None] = [self.question]
        if self.question is None:
            names = [path.stem for path in reversed(question.paths(directory))] or names
        there: list[Store] = []
        damaged: StoreError | None = None
        for name in names:
            try:
                there.append(Store.open(directory, question_name=name, read_only=True))
            except StoreError as error:
                damaged = damaged or error
                continue
            if self._fits(there[-1].manifest):
                return there[-1]
        if damaged is not None:
            raise damaged  # it may be the one
        wanted = [f" of the suite {self.suite}"] if self.suite is not None else []
        wanted += [f" with {self.steps:,} steps"] if self.steps is not None else []
        raise StoreError(
            f"{directory} has no question{''.join(wanted)}; it has " + ", ".join(map(_about, there))
        )

    def _fits(self, manifest: Manifest) -> bool:
        steps = manifest.get("protocol", {}).get("steps")
        of_suite = self.suite in (None, manifest["suite"].get("name"))
        return of_suite and self.steps in (None, steps)

    def _narrowed(self, store: Store) -> Store:
        if self.optimizers is None and self.seeds is None:
            return store
        names = dict.fromkeys(cell.optimizer.name for cell in store.plan.cells)
        for name in self.optimizers or ():
            if name not in names:
                raise UnknownNameError(f"optimizer of {store.directory}", name, [*names])
        shown = {*(self.optimizers or names), store.baseline}
        seeds = store.manifest.get("protocol", {}).get("seeds", 0)
        most = seeds if self.seeds is None else min(seeds, self.seeds)
        cells = tuple(
            replace(cell, lanes=tuple(lane for lane in cell.lanes if lane.seed < most))
            for cell in store.plan.cells
            if cell.optimizer.name in shown
        )
        protocol = store.manifest.get("protocol", {})
        manifest: Manifest = {**store.manifest, "protocol": {**protocol, "seeds": most}}
        return store.asked(manifest, replace(store.plan, cells=cells))


def _about(store: Store) -> str:
    manifest = store.manifest
    steps = manifest.get("protocol", {}).get("steps", 0)
    return f"{store.question} ({manifest['suite'].get('name')}, {steps:,} steps)"
