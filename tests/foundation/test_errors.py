from __future__ import annotations

from velodrome.foundation.errors import UnknownNameError

MANY = [f"thing-{number:03}" for number in range(200)]


def test_close_names_come_first():
    message = str(UnknownNameError("optimizer", "thing-0001", MANY))
    assert message.startswith("there is no optimizer named 'thing-0001'. Did you mean 'thing-0")
    assert message.count("thing-") == 4


def test_a_long_list_is_cut_and_says_where_the_rest_is():
    message = str(UnknownNameError("optimizer", "q", MANY))
    assert "Known: thing-000, thing-001, " in message
    assert message.endswith("thing-011 and 188 more; see `velodrome list optimizers`.")
    message = str(UnknownNameError("optimizer (the baseline)", "q", MANY))
    assert message.endswith("and 188 more; see `velodrome list optimizers`.")
    assert str(UnknownNameError("thing", "q", MANY)).endswith("thing-011 and 188 more.")


def test_a_short_list_is_whole_and_an_empty_one_says_so():
    assert str(UnknownNameError("suite", "q", ["b", "a"])).endswith("Known: a, b.")
    assert str(UnknownNameError("suite", "q", [])).endswith("None is registered.")
