"""Measure a device for velodrome, a GPU above all: ``python benchmarks/gpu.py --out gpu.json``.

It takes about ten minutes on one GPU, in one process, which has the device to itself: what VeLO
takes to compile, an update against Adam's and against memory traffic, lanes batched and one by one,
and the profile of `velodrome calibrate`. Every number is in the file as soon as it is known, so a
run that is cut short loses nothing. A section that takes too long leaves out the rest of its parts.
``--small`` tries all of it in seconds; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
from gpu_parts import Row, Section, sections

from velodrome.foundation.files import atomic_write_json
from velodrome.suites.training.environment import device_description, versions
from velodrome.taskgen.numerics import numerics


def measure(chosen: Sequence[Section], out: Path, *, small: bool) -> bool:
    """Measure sections one after another into a file; return whether nothing is missing."""
    rows: dict[str, dict[str, Row]] = {}
    said: list[str] = []

    def write() -> None:
        atomic_write_json(
            out,
            {
                "small": small,
                "device": device_description(),
                "versions": versions(),
                "sections": rows,
                "verdicts": said,
            },
        )

    for section in chosen:
        mine = rows[section.name] = {}
        began = time.monotonic()
        for name, part in section.parts.items():
            start = time.monotonic()
            if start - began > section.seconds:
                row: Row = {"left out": f"the section took more than {section.seconds:g} s"}
            else:
                try:
                    row = {**part(), "took seconds": time.monotonic() - start}
                except Exception as error:  # noqa: BLE001 - the other parts are measured
                    row = {"failed": f"{type(error).__name__}: {error}"[:500]}
            mine[name] = row
            write()
            print(f"{section.name:9} {name:44} {_shown(row)}", flush=True)
        known = {name: row for name, row in mine.items() if _is_measured(row)}
        for line in section.verdict(known):
            said.append(line)
            print(line, flush=True)
        write()
    return all(_is_measured(row) for mine in rows.values() for row in mine.values())


def _is_measured(row: Row) -> bool:
    return not {"failed", "left out"} & set(row)


def _shown(row: Row) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if something failed or was left out."""
    parser = argparse.ArgumentParser(prog="python benchmarks/gpu.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    parser.add_argument(
        "--only", nargs="+", metavar="SECTION", help="of compile, update, batching, calibrate"
    )
    parser.add_argument("--small", action="store_true", help="try all of it in seconds")
    given = parser.parse_args(arguments)
    found = sections(small=given.small)
    unknown = set(given.only or ()) - {section.name for section in found}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is measured
    chosen = [section for section in found if given.only is None or section.name in given.only]
    with numerics():
        whole = measure(chosen, given.out, small=given.small)
    print(f"written: {given.out}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
