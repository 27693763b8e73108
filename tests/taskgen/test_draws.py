from __future__ import annotations

import hashlib

from velodrome.taskgen.space.draws import NamedRng


def test_a_word_is_the_start_of_the_hash_of_its_name():
    digest = hashlib.sha256(b'[5,"mlp",3,"width"]').hexdigest()
    assert NamedRng(5, "mlp", 3).word("width") == int(digest[:16], 16)


def test_streams_do_not_depend_on_order_or_on_each_other():
    draws = NamedRng(1, "family")
    first = [draws.word("a"), draws.word("b")]
    assert [draws.word("b"), draws.word("a")] == first[::-1]
    assert draws.child("x", 2).word("a") == NamedRng(1, "family", "x", 2).word("a")
    words = {NamedRng(seed, part, n).word("a") for seed in (0, 1) for part in "pq" for n in (0, 1)}
    assert len(words) == 8


def test_numbers_and_their_texts_are_different_streams():
    assert NamedRng(0, 1).word("a") != NamedRng(0, "1").word("a")


def test_units_fill_the_unit_interval_evenly():
    units = [NamedRng(0, index).unit("u") for index in range(4000)]
    assert min(units) >= 0 and max(units) < 1
    tenths = [sum(index / 10 <= unit < (index + 1) / 10 for unit in units) for index in range(10)]
    # Standard deviation of a tenth's count is 19; the draws are fixed, so this never flickers.
    assert all(abs(count - 400) < 80 for count in tenths)
