"""The command line, as ``python -m velodrome``."""

from __future__ import annotations

import sys

from velodrome.cli import main

sys.exit(main())
