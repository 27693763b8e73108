"""Average precision, which is of all predictions together and no mean over batches."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the average precision, averaged over the questions that have both answers.

    As OGB and the workload ``ogbg`` of MLCommons say it, except that answers which are not known
    count for nothing here: the reference takes them as a no where it looks for both answers.

    Args:
      scores: f[N,questions], larger for a yes; logits will do.
      labels: f[N,questions], 0 or 1.
      weights: f[N,questions], 0 where the answer is not known.

    Returns:
      NaN if no question has both answers.
    """
    found = []
    for score, label, weight in zip(scores.T, labels.T, weights.T, strict=True):
        known = weight > 0
        if len(np.unique(label[known])) == 2:
            found.append(average_precision_score(label[known], score[known]))
    return float(np.mean(found)) if found else float("nan")
