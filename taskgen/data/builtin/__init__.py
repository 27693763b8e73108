"""Real data from inside installed packages: small, and here without any download."""

from __future__ import annotations

from velodrome.taskgen.data.builtin.digits import DIGITS
from velodrome.taskgen.data.builtin.kjv import KJV
from velodrome.taskgen.data.builtin.mnist5k import MNIST5K
from velodrome.taskgen.data.builtin.photos import PHOTOS

DATASETS = (DIGITS, MNIST5K, PHOTOS, KJV)
