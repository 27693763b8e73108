"""Sample training tasks, train them with learned and tuned optimizers, draw the speedups.

All public names are here. Each is loaded when it is first used, so ``import velodrome`` imports no
jax.

Examples:
  >>> import velodrome
  >>> spec = velodrome.sample(1, seed=0, family="mlp", data="built-in")[0]
  >>> velodrome.cost(spec).params > 0
  True
"""

from __future__ import annotations

from pathlib import Path

import lazy_loader

__version__ = "0.2.0"

# In a checkout the subpackages are folders at its root; in a wheel they lie in this folder.
_ROOT = Path(__file__).parents[1]
if (_ROOT / "pyproject.toml").is_file() and (_ROOT / "taskgen").is_dir():
    __path__.append(str(_ROOT))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
