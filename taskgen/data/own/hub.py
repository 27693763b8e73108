"""Read a data set of Hugging Face by its library ``datasets``, which is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from velodrome.foundation.errors import DataError
from velodrome.foundation.extras import optional
from velodrome.taskgen.data.own.contents import Contents, Options, glimpse, no_use
from velodrome.taskgen.data.own.imagearrays import labelled
from velodrome.taskgen.data.own.imagefolder import as_one_size
from velodrome.taskgen.data.own.tablefile import LABEL_NAMES, table_contents
from velodrome.taskgen.data.own.textfile import text_contents

TRAIN = "train"
HELD = ("test", "validation", "valid", "val")


def read_hub(name: str, options: Options) -> Contents:
    """Read ``NAME`` or ``NAME:CONFIGURATION``: images with labels, a table, or a column of text.

    The split "train" is trained on; "test", else "validation", is held out.

    Raises:
      VelodromeError: The library is not installed.
      DataError: It cannot load the data, or these are of another form.
    """
    library = optional("datasets", extra="huggingface", needed_by=f"hf:{name}")
    where, _, configuration = name.partition(":")
    try:
        found = library.load_dataset(where, configuration or None)
    except Exception as error:  # the library and its network raise many kinds
        problem = " ".join(str(error).split())
        raise DataError(f"hf:{name} cannot be loaded: {problem[:300]}") from error
    if TRAIN not in found:
        raise DataError(f"hf:{name} has no split {TRAIN!r}; it has {glimpse(list(found))}.")
    held = next((split for split in HELD if split in found), None)
    parts = [found[TRAIN], *([found[held]] if held else [])]
    notes = {"from": f"the splits {TRAIN!r} and {held!r}" if held else f"the split {TRAIN!r}"}
    features: Mapping[str, Any] = parts[0].features
    images = [key for key, feature in features.items() if isinstance(feature, library.Image)]
    labels = options.label or set(LABEL_NAMES) & set(features)
    text = not images and "text" in features and not labels
    if images or text:
        no_use(options.ignore, "--ignore", "tables")
        no_use(options.regression, "--regression", "tables")
    if not images:
        no_use(options.size, "--size", "images")
    if images:
        label = options.label or _label(features, name)
        return _images(parts, images[0], label, options.size, f"hf:{name}")
    if text:
        texts = ["\n".join(map(str, part["text"])) for part in parts]
        encoded = [text.encode() for text in texts]
        return text_contents(encoded[0], encoded[1] if held else None, f"hf:{name}", notes)
    tables = [part.with_format("arrow")[:] for part in parts]
    held_rows = len(parts[1]) if held else 0
    return table_contents(pa.concat_tables(tables), options, f"hf:{name}", notes, held=held_rows)


def _label(features: Mapping[str, Any], name: str) -> str:
    named = [key for key in (*LABEL_NAMES, "labels", "fine_label") if key in features]
    if not named:
        raise DataError(
            f"hf:{name} has no column of labels among {glimpse(list(features))}; --label COLUMN "
            "names it."
        )
    return named[0]


def _class_of(label: Any, names: list[str] | None, place: str) -> Any:
    if not names:
        return label
    if label not in range(len(names)):  # -1 stands for a label that is kept secret
        raise DataError(
            f"{place} has the label {label!r}, which is none of the {len(names)} classes: its "
            "split cannot be used without labels."
        )
    return names[label]


def _images(parts: list[Any], image: str, label: str, size: int, where: str) -> Contents:
    names = getattr(parts[0].features.get(label), "names", None)
    pictures, labels, places = [], [], []
    for part in parts:
        for at, example in enumerate(part):
            picture = example[image]
            pixels = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
            pictures.append(pixels[..., None] if pixels.ndim == 2 else pixels)
            places.append(f"image {at} of {where}")
            labels.append(_class_of(example[label], names, places[-1]))
    stacked = as_one_size(pictures, places, size, where)
    given, first = np.asarray(labels), len(parts[0])
    held = (stacked[first:], given[first:]) if len(parts) > 1 else None
    return labelled(stacked[:first], given[:first], held, where)
