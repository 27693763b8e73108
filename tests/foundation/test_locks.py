"""One process at a time in a directory."""

from __future__ import annotations

import pytest

from velodrome.foundation.errors import StoreError, WriteError
from velodrome.foundation.locks import alone_in


def test_two_cannot_be_in_one_directory(tmp_path):
    with alone_in(tmp_path / "made" / "here"):
        with (
            pytest.raises(StoreError, match="another run is at work"),
            alone_in(tmp_path / "made" / "here"),
        ):
            raise AssertionError
        with alone_in(tmp_path):  # another directory
            pass
    with alone_in(tmp_path / "made" / "here"):
        pass


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write to"), alone_in(tmp_path / "file" / "below"):
        raise AssertionError
