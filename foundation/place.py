"""Names of the form ``path/to/file.py:object`` and ``module:object``, taken apart once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Place:
    """Where an object is found: in a Python file, or in a module that can be imported.

    Attributes:
      where: The path of the file, or the name of the module.
      attribute: The object's name there; it may have dots.
    """

    where: str
    attribute: str

    @classmethod
    def of(cls, name: str) -> Place | None:
        """Take a name apart at its last colon, because a path may have some; None without one.

        A colon before the last folder or before a file is part of a path.

        >>> Place.of("C:/mine/lion.py:lion")
        Place(where='C:/mine/lion.py', attribute='lion')
        """
        where, _, attribute = name.rpartition(":")
        if not where or not attribute or set(attribute) & {"/", "\\"} or attribute.endswith(".py"):
            return None
        return cls(where, attribute)

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")


def portable(name: str) -> str:
    """Return a name without the folders of its file: one name from wherever a file is seen.

    >>> portable("../mine/lion.py:lion"), portable("stand-in:mnist")
    ('lion.py:lion', 'stand-in:mnist')
    """
    place = Place.of(name)
    if place is None or not place.is_file:
        return name
    return f"{PurePath(place.where).name}:{place.attribute}"
