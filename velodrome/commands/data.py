"""``velodrome data``: show which data sets are here, and prepare those that are not."""

from __future__ import annotations

from collections.abc import Sequence
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
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(data, arguments, name="data", examples=EXAMPLES)


def data(
    action: Positional[Literal["status", "prepare"]],
    name: Positional[Annotated[str | None, option("[NAME]")]] = None,
    /,
    *,
    source: Annotated[Path | None, arg(name="from", metavar="DIR", help_behavior_hint="")] = None,
    download: bool = False,
    vocabulary: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None,
) -> int:
    """Show what data are here, or prepare a published data set.

    A data set is prepared once: decoded into arrays in the cache directory, with their content
    hash. An interrupted preparation or download is resumed where it stopped. Without --from and
    --download, tensorflow-datasets fetches and prepares it, which takes the extra
    velodrome[prepare] (TensorFlow).

    Args:
      action: What to do.
      name: A data set, as `velodrome list datasets` shows them.
      source: For prepare: a folder with the original files, or a data_dir that tensorflow-datasets
        has prepared as ArrayRecord.
      download: For prepare: fetch the original files; they are checked against published hashes.
      vocabulary: For prepare: the SentencePiece model of T5, for the data sets ending in _32k.
    """
    from velodrome.commands import _data  # noqa: PLC0415 - help needs no numpy

    if action == "prepare":
        if name is None:
            raise VelodromeError("say which data set: velodrome data prepare mnist --download")
        return _data.prepare(name, source, download, vocabulary)
    if source is not None or download or vocabulary is not None:
        raise VelodromeError(
            "`velodrome data status` only shows what is here: leave out --from, --download and "
            "--vocabulary, or say `velodrome data prepare`."
        )
    return _data.status() if name is None else _data.status_of(name)
