from __future__ import annotations

from velodrome.foundation.errors import SpecError, UnknownNameError

MANY = [f"thing-{number:03}" for number in range(200)]


def test_close_names_come_first():
    message = str(UnknownNameError("optimizer", "thing-0001", MANY))
    assert message.startswith("there is no optimizer named 'thing-0001'. Did you mean 'thing-0")
    assert message.count("thing-") == 4


def test_a_name_may_be_a_part_of_the_known_one():
    message = str(UnknownNameError("family", "wmt", ["gnn", "wmt_transformer"]))
    assert message == "there is no family named 'wmt'. Did you mean 'wmt_transformer'?"


def test_an_optimizer_may_be_in_a_file_of_ones_own():
    message = str(UnknownNameError("optimizer", "mine", ["adam"]))
    assert message.endswith("Known: adam. One of your own is path/to/file.py:NAME.")


def test_a_sentence_ends_once():
    assert str(SpecError("a", 1, "b; did you mean 'b'?")).endswith("did you mean 'b'?")
    assert str(SpecError("a", 1, "b")).endswith("must be b.")


def test_a_long_list_is_cut_and_says_where_the_rest_is():
    message = str(UnknownNameError("optimizer", "q", MANY))
    assert "Known: thing-000, thing-001, " in message
    assert message.endswith(
        "thing-011 and 188 more; see `velodrome list optimizers`. "
        "One of your own is path/to/file.py:NAME."
    )
    message = str(UnknownNameError("optimizer (the baseline)", "q", MANY))
    assert message.endswith("and 188 more; see `velodrome list optimizers`.")
    assert str(UnknownNameError("thing", "q", MANY)).endswith("thing-011 and 188 more.")


def test_a_short_list_is_whole_and_an_empty_one_says_so():
    assert str(UnknownNameError("suite", "q", ["b", "a"])).endswith("Known: a, b.")
    assert str(UnknownNameError("suite", "q", [])).endswith("None is registered.")
