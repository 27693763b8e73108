"""``python -m velodrome`` is the command line."""

from __future__ import annotations

import sys

from velodrome.cli import main

sys.exit(main())
