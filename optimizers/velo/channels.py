"""The 30 input channels of a per-parameter network, in the order that we keep them in.

Eighteen vary with both dimensions of a matrix. Twelve are constant along one of its two factored
dimensions: six repeat the factored second moment that averages over the larger one ("row"), six
the other ("column"): the averages with three decays, then their inverse roots. Metz et al. 2022
(arXiv 2211.09760); class ``HyperV2`` of google/learned_optimization.
"""

from __future__ import annotations

import numpy as np

from velodrome.optimizers.velo.weights.tree import INPUT_GROUPS

#: The dense channels: gradient, parameter, clipped gradient, momenta (3), second moment, momenta
#: over its root (3), inverse root, gradient over root, factored gradients (3) and momenta (3).
DENSE = 18

#: Channels constant along one factored dimension, for each of the two.
RANK_ONE = 6

#: Where among the channels the parameter is.
PARAMETER = 1

#: Where the accumulators are: three momenta and the second moment.
ACCUMULATORS = slice(3, 7)

# Which of the checkpoint's input groups belong to each of the three kinds, in our order.
_KINDS = ((0, 2, 1, 3, 4, 5, 6, 8, 7, 13), (9, 11), (10, 12))


def published_order() -> np.ndarray:
    """Returns for each of our channels its position in the published first layer."""
    starts = np.cumsum((0, *INPUT_GROUPS))
    return np.concatenate(
        [np.arange(starts[group], starts[group + 1]) for kind in _KINDS for group in kind]
    )
