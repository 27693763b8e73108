from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

from velodrome.suites.training.compilation_cache import _drop_damaged


def test_programs_that_were_cut_short_are_deleted(tmp_path: Path):
    """jax warns of them for ever, and never writes them again."""
    whole = zlib.compress(b"program" * 100)
    content = {"whole": whole, "cut": whole[:-3], "empty": b"", "packed": b"\x28\xb5\x2f\xfd..."}
    for name, data in content.items():
        (tmp_path / f"{name}-cache").write_bytes(data)
        os.utime(tmp_path / f"{name}-cache", (time.time() - 60, time.time() - 60))
    (tmp_path / "now-cache").write_bytes(b"being written")
    _drop_damaged(tmp_path)
    assert {path.name for path in tmp_path.glob("*-cache")} == {
        "whole-cache", "packed-cache", "now-cache",
    }  # fmt: skip
    # What was looked at is not read again; what is new is.
    (tmp_path / "whole-cache").write_bytes(b"damaged")
    os.utime(tmp_path / ".checked", (time.time() - 100, time.time() - 100))
    os.utime(tmp_path / "whole-cache", (time.time() - 50, time.time() - 50))
    os.utime(tmp_path / "packed-cache", (time.time() - 500, time.time() - 500))
    _drop_damaged(tmp_path)
    assert not (tmp_path / "whole-cache").exists() and (tmp_path / "packed-cache").exists()
