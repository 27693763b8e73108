"""Average precision, which is of all predictions together and no mean over batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import average_precision_score

from velodrome.taskgen.corpus import Model
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.functions import Batch
from velodrome.taskgen.views import GraphView


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the average precision, averaged over the questions that have both answers.

    As OGB and the workload ``ogbg`` of MLCommons say it, except that answers which are not known
    count for nothing here: the reference takes them as a no where it looks for both answers.

    Args:
      scores: f[N,questions], larger for a yes; logits will do.
      labels: f[N,questions], 0 or 1.
      weights: f[N,questions], 0 where the answer is not known.

    Returns:
      NaN if no question has both answers, or a score of a known answer is not finite.
    """
    if not np.isfinite(scores[weights > 0]).all():
        return float("nan")
    found = []
    for score, label, weight in zip(scores.T, labels.T, weights.T, strict=True):
        known = weight > 0
        if len(np.unique(label[known])) == 2:
            found.append(average_precision_score(label[known], score[known]))
    return float(np.mean(found)) if found else float("nan")


def collect(model: Model, batch: Batch, view: GraphView) -> Batch:
    """Return logits, labels and weights, each f32[B,questions], of graphs with `Answers`."""
    del view
    answers, weight = model.outputs, batch["weight"]
    if answers.counted is not None:
        weight = weight * answers.counted[:, None]
    return {"score": answers.logits, "label": batch["label"], "weight": weight}


def score(collected: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
    """Return the mean average precision of collected answers."""
    del dataset
    found = mean_average_precision(collected["score"], collected["label"], collected["weight"])
    return {"mean_average_precision": found}
