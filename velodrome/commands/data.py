"""``velodrome data``: show which data sets are here, add your own, and prepare published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from velodrome.commands._parsing import option, run_command
from velodrome.foundation.errors import VelodromeError

EXAMPLES = (
    "velodrome data status                       # all data sets, and which suites need them",
    "velodrome data status cifar10               # everything about one of them",
    "velodrome data prepare mnist --download     # the original files, 12 MB",
    "velodrome data prepare cifar10 --from downloads/   # or a data_dir of tensorflow-datasets",
    "velodrome data prepare lm1b_32k --download --vocabulary sentencepiece.model",
    "velodrome data add flowers flowers.csv --label species   # your own data, by a name",
    "velodrome data add pets pets/ --size 32    # a folder with a folder of images for each class",
    "velodrome data remove flowers",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(data, arguments, name="data", examples=EXAMPLES)


def data(
    action: Positional[Literal["status", "add", "remove", "prepare"]],
    name: Positional[Annotated[str | None, option("[NAME]")]] = None,
    path: Positional[Annotated[str | None, option("[PATH]")]] = None,
    /,
    *,
    label: Annotated[str | None, option("COLUMN")] = None,
    ignore: Annotated[str | None, option("A,B")] = None,
    size: Annotated[int | None, option("N")] = None,
    regression: bool = False,
    replace: bool = False,
    source: Annotated[Path | None, arg(name="from", metavar="DIR", help_behavior_hint="")] = None,
    download: bool = False,
    vocabulary: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None,
) -> int:
    """Show what data are here, add data of your own, or prepare a published data set.

    Your own data are an .npz or .csv file, a folder with a folder of images for each class, a text
    file, or hf:NAME for a data set of Hugging Face, with the extra velodrome[huggingface]. They are
    read once. Their kind, shapes, classes and splits are found by looking at them, shown, and kept
    with hashes in PATH.velodrome.json. From then on the name works wherever a data set's name does.

    A published data set is prepared once: decoded into arrays in the cache directory, with their
    content hash. An interrupted preparation or download is resumed where it stopped. Without --from
    and --download, tensorflow-datasets fetches and prepares it, which takes the extra
    velodrome[prepare] (TensorFlow).

    Args:
      action: What to do.
      name: A data set, as `velodrome list datasets` shows them; for add, a name of your choice.
      path: For add: where your data are.
      label: For add: the column of a table that has the labels. Default: label, class or target,
        else the last one.
      ignore: For add: columns of a table to leave out, with commas between.
      size: For add: height and width that all images of a folder are resized to.
      regression: For add: the labels of a table are numbers to predict. Numbers that are not whole
        are predicted anyway.
      replace: For add: the name may stand for other data already.
      source: For prepare: a folder with the original files, or a data_dir that tensorflow-datasets
        has prepared as ArrayRecord.
      download: For prepare: fetch the original files; they are checked against published hashes.
      vocabulary: For prepare: a SentencePiece model: that of T5 for the data sets ending in _32k,
        its own for wmt17_de_en and librispeech.
    """
    adding = {"--label": label, "--ignore": ignore, "--size": size}
    adding |= {"--regression": regression or None, "--replace": replace or None}
    _only_for("add", action, adding)
    preparing = {"--from": source, "--download": download or None, "--vocabulary": vocabulary}
    _only_for("prepare", action, preparing)
    if path is not None and action != "add":
        raise VelodromeError(f"`velodrome data {action}` takes one name; leave out {path!r}.")
    if action == "add":
        from velodrome.commands import _own_data  # noqa: PLC0415 - help needs no numpy

        ignored = [column.strip() for column in ignore.split(",")] if ignore else []
        return _own_data.add(name, path, label or "", ignored, size, regression, replace)
    if action == "remove":
        from velodrome.commands import _own_data  # noqa: PLC0415 - help needs no numpy

        return _own_data.remove(name)
    from velodrome.commands import _data  # noqa: PLC0415 - help needs no numpy

    if action == "prepare":
        if name is None:
            raise VelodromeError("say which data set: velodrome data prepare mnist --download")
        return _data.prepare(name, source, download, vocabulary)
    return _data.status() if name is None else _data.status_of(name)


def _only_for(wanted: str, action: str, options: Mapping[str, object]) -> None:
    given = [option for option, value in options.items() if value is not None]
    if given and action != wanted:
        raise VelodromeError(
            f"{given[0]} is for `velodrome data {wanted}`; leave it out of `velodrome data "
            f"{action}`."
        )
