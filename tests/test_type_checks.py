"""The annotations of the package are checked while the tests run; see conftest.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from velodrome.foundation.text import plural
from velodrome.results.speedup.smoothing import ema


def test_a_wrong_type_is_an_error():
    wrong: Any = "3"
    with pytest.raises(BeartypeCallHintViolation, match="plural"):
        plural(wrong, "run")


def test_an_array_of_the_wrong_kind_is_an_error():
    with pytest.raises(TypeCheckError, match="ema"):
        ema(np.zeros(3, np.int32), alpha=0.5, debias=True)
