"""What a directory of a run keeps others from doing, and what a log may look like."""

from __future__ import annotations

import json

import pytest

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.metatrain.directory import CHECKPOINT, CONFIG, LOG, WEIGHTS, opened
from velodrome.optimizers.metatrain.log import read_log, resume_log


def test_weights_alone_are_not_replaced_unless_asked_to(tmp_path):
    for name in (WEIGHTS, "weights.json"):
        (tmp_path / name).write_text("precious")
    with (
        pytest.raises(StoreError, match=f"weights, but no {LOG}"),
        opened(tmp_path, resume=True, state=LOG),
    ):
        raise AssertionError
    assert (tmp_path / WEIGHTS).read_text() == "precious"
    (tmp_path / LOG).write_text("")
    with opened(tmp_path, resume=True, state=LOG):
        assert (tmp_path / WEIGHTS).read_text() == "precious"


def test_a_new_start_deletes_what_is_of_the_old_one_and_nothing_else(tmp_path):
    names = (LOG, CHECKPOINT, WEIGHTS, "weights.json", "baseline.json", CONFIG, "mine.txt")
    for name in names:
        (tmp_path / name).write_text("")
    with opened(tmp_path, resume=False, state=LOG):
        left = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert left == {"baseline.json", CONFIG, "mine.txt"}


def test_two_runs_do_not_work_in_one_directory(tmp_path):
    with opened(tmp_path, resume=True, state=LOG):
        (tmp_path / LOG).write_text("of the first")
        with (
            pytest.raises(StoreError, match="another run is at work"),
            opened(tmp_path, resume=False, state=LOG),
        ):
            raise AssertionError
        assert (tmp_path / LOG).read_text() == "of the first"


def test_the_last_line_of_a_log_may_be_cut(tmp_path):
    path = tmp_path / LOG
    assert read_log(path) == []
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n{"step": 2, "l\xc3')
    assert read_log(path) == [{"step": 0}, {"step": 1}]
    path.write_bytes(b'{"step": 0}\n{"step": 1}')
    assert read_log(path) == [{"step": 0}]  # its number may be cut: it will be made again


@pytest.mark.parametrize("line", [b"x{", b"5", b"\xff\xfe", b""])
def test_any_other_line_that_is_no_record_is_refused(tmp_path, line):
    path = tmp_path / LOG
    path.write_bytes(b'{"step": 0}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(StoreError, match="line 2 is no record.*--restart"):
        read_log(path)


def test_a_resumed_log_keeps_what_the_checkpoint_has(tmp_path):
    path = tmp_path / LOG
    assert resume_log(path, [], 3) == (-1, None)
    records = [{"validation": 0, "won": 1}, {"step": 0}, {"step": 1}, {"validation": 2, "won": 5}]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in [*records, {"step": 2}]))
    # However often it is resumed there: the last validation is that of the state.
    for _ in range(2):
        assert resume_log(path, read_log(path), 2) == (2, {"won": 5})
        assert read_log(path) == records
    assert resume_log(path, read_log(path), 1) == (0, {"won": 1})
    assert read_log(path) == records[:2]


@pytest.mark.parametrize("line", ["{}", '{"step": null}', '{"step": "1"}', '{"validation": "x"}'])
def test_a_log_of_something_else_is_not_resumed(tmp_path, line):
    path = tmp_path / LOG
    path.write_text(f'{{"step": 0}}\n{line}\n')
    with pytest.raises(StoreError, match="line 2 is no record"):
        resume_log(path, read_log(path), 0)
    assert line in path.read_text()
