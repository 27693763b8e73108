"""The hash of a file of weights, recorded on first use: where nobody has published it.

Any later change of the file is refused.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import WeightsError
from velodrome.foundation.files import atomic_write_json


@dataclass(frozen=True)
class FirstUse:
    """The record beside a file of weights.

    Args:
      weights: The file.
      url: Where it is fetched from.
      name: What `velodrome weights fetch` calls it.
    """

    weights: Path
    url: str
    name: str

    @property
    def path(self) -> Path:
        """The file that holds the record."""
        return self.weights.with_name("record.json")

    def read(self) -> dict[str, Any] | None:
        """Return what was recorded on first use, or None before it.

        Returns:
          ``sha256`` (64 hexadecimal digits), ``bytes``, ``origin`` (``"fetched"`` or
          ``"placed"``), ``checked`` (the server's checksum, or None) and ``recorded`` (time).

        Raises:
          WeightsError: The record exists, but cannot be read.
        """
        again = f"Delete it and run `velodrome weights fetch {self.name}`."
        try:
            record = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self.path}: expected the JSON record of the weights' hash, found something "
                f"unreadable ({error}). {again}"
            ) from error
        if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
            raise WeightsError(
                f"{self.path}: expected a JSON object with the field 'sha256', found "
                f"{record!r:.80}. {again}"
            )
        return record

    def write(self, sha256: str, *, size: int, origin: str, checked: str | None = None) -> None:
        """Record the hash that the file must have from now on; see `read`."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        atomic_write_json(
            self.path,
            {
                "sha256": sha256,
                "bytes": size,
                "origin": origin,
                "checked": checked,
                "url": self.url,
                "recorded": now,
            },
        )

    def refuse_change(self, sha256: str, *, where: str) -> None:
        """Refuse a file whose hash is not the recorded one; without a record, everything passes.

        Raises:
          WeightsError: The hash is not the recorded one; the message calls the file ``where``.
        """
        record = self.read()
        if record is not None and record["sha256"] != sha256:
            raise WeightsError(
                f"{where} is not the file recorded on first use ({record.get('recorded')}): "
                f"expected SHA-256 {record['sha256']}, found {sha256}. If the change is intended, "
                f"delete {self.path} and {self.weights} and run `velodrome weights fetch "
                f"{self.name}`."
            )

    def fetched(self, sha256: str) -> bool:
        """Return whether a file of this hash is, bit for bit, what was fetched.

        A copy that someone put there is not recognised until it was fetched once: the architecture
        alone does not tell whose weights they are.
        """
        record = self.read()
        return (
            record is not None and record.get("origin") == "fetched" and record["sha256"] == sha256
        )
