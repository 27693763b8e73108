"""Turn figures of matplotlib into parts of a page: SVG with the page's colours and unique ids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from velodrome.results.report.figures.colours import variables
from velodrome.results.report.figures.figure import Plot

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Names of the figures that have a colour scale.
_COLOUR_SCALES = ("sensitivity", "pairs")
# Width from which on half a page is too narrow: figures of several panels.
_BROAD = 600
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FRACTION = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font-family:[^;]*;?|font:\s*([\d.]+px)[^;]*(?=;|$)")


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page.

    Attributes:
      plot: Its title, caption, and description in words.
      colours: Those in it, as ``#rrggbb``, that a dark page replaces.
      fixed: Whether its colours stand for numbers: on a dark page it is inverted as a whole.
      width: In CSS pixels as drawn; a page may show it smaller.
    """

    plot: Plot
    svg: Markup
    colours: frozenset[str]
    fixed: bool
    width: int

    @property
    def broad(self) -> bool:
        """Say whether it needs a whole row, and on a narrow screen scrolls."""
        return self.width > _BROAD


def page_figure(plot: Plot, document: str) -> PageFigure:
    """Make a drawing, from ``velodrome.results.report.figures.drawing.svg``, part of a page."""
    root = ElementTree.fromstring(document)
    width = round(float(root.attrib.pop("width").removesuffix("pt")) * 96 / 72)
    root.attrib.pop("height")
    # Words describe what it shows, once: a screen reader would spell out every tick.
    root.attrib |= {"role": "img", "aria-labelledby": f"figure-{plot.name}-alt"}
    _drop(root, {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"})
    _rename(root, prefix=f"figure-{plot.name}")
    fixed = plot.name.partition("_")[0] in _COLOUR_SCALES
    colours = _simplify(root, recolour=not fixed)
    ElementTree.register_namespace("", _SVG)
    text = ElementTree.tostring(root, encoding="unicode")
    # Inside HTML the namespace goes without saying.
    text = text.replace(f' xmlns="{_SVG}"', "", 1)
    return PageFigure(plot, Markup(text), frozenset(colours), fixed, width)


def _drop(element: ElementTree.Element, tags: set[str]) -> None:
    """Remove elements: a style sheet in a figure would hold for the whole page."""
    for child in list(element):
        if child.tag in tags:
            element.remove(child)
        else:
            _drop(child, tags)
        child.tail = None
    if not (element.text or "").strip():
        element.text = None


def _rename(root: ElementTree.Element, *, prefix: str) -> None:
    """Make ids differ from those of other figures, and drop those that nothing refers to."""
    used: set[str] = set()
    for element in root.iter():
        link = element.attrib.pop(f"{{{_LINK}}}href", None)
        if link is not None and not link.startswith("#"):
            element.attrib["href"] = link
        elif link is not None:
            element.attrib["href"] = f"#{prefix}-{link[1:]}"
            used.add(link[1:])
        for name, value in element.attrib.items():
            used.update(_REFERENCE.findall(value))
            element.attrib[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.attrib["id"] = f"{prefix}-{name}"


def _simplify(root: ElementTree.Element, *, recolour: bool) -> set[str]:
    """Shorten paths, leave fonts and, with ``recolour``, colours to the page; return these."""
    colours: set[str] = set()
    for element in root.iter():
        if "d" in element.attrib:
            # More than hundredths of a point is not seen.
            element.attrib["d"] = _FRACTION.sub(r"\1", " ".join(element.attrib["d"].split()))
        if "style" in element.attrib:
            # A reader's machine need not have matplotlib's font.
            style = _FONT.sub(_size, element.attrib["style"]).strip()
            element.attrib["style"], found = variables(style) if recolour else (style, set())
            colours |= found
            if not style:
                del element.attrib["style"]
    return colours


def _size(match: re.Match[str]) -> str:
    return f"font-size: {match[1]}" if match[1] else ""
