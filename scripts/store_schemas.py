"""Write the schemas of a store's files: ``python scripts/store_schemas.py``; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path

from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.schemas import schemas

FOLDER = Path(__file__).parents[1] / "docs" / "schema"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        atomic_write_json(FOLDER / f"{name}.json", schema)
    return 0


if __name__ == "__main__":
    sys.exit(main())
