"""The published tasks have the data, batches, sizes, lengths and vocabularies of the originals."""

from __future__ import annotations

import pytest
from conformance import FACTS

from velodrome.suites.published.tasks import published_tasks
from velodrome.taskgen.views import ImageView, TextView

#: Names in tensorflow-datasets, where ours are others. Text has its tokens in the name, too.
NAMES = {
    "food101": "food101_64",
    "imagenet2012_16": "imagenet16",
    "imagenet2012_32": "imagenet32",
    "imagenet2012_64": "imagenet64",
    "wikipedia/20201201.en": "wikipedia",
}


@pytest.mark.parametrize("name", published_tasks())
def test_data_batch_and_sizes_are_the_published_ones(name):
    spec, facts = published_tasks()[name], FACTS[name]
    tfds: str = facts["tfds"]
    data = NAMES.get(tfds, tfds)
    view = spec.view
    if isinstance(view, ImageView):
        assert [view.size, view.size] == facts["image_size"]
        assert (view.channels == 1) == (facts["grey"] or data.endswith("mnist"))
    else:
        assert isinstance(view, TextView)
        data += "_32k" if facts["pieces"] else "_bytes"
        assert spec.config.sequence_length == facts["sequence_length"]
        assert view.vocab_size == facts["vocab"]
    assert spec.data.name == data
    # A batch is all the data that one step takes: of an unroll, every inner step's.
    steps, problems = facts.get("unroll_length", 1), facts.get("outer_batch_size", 1)
    assert spec.batch_size == facts["batch_size"] * steps * problems
