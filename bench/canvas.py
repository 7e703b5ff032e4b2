"""An SVG in the making: shapes and words in a few styles, legible on light and on dark grounds."""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

__all__ = ["LINE", "MARKS", "Canvas", "wrapped"]

LINE: Final = 15
"""From one line of words to the next, in px."""

MARKS: Final = ("circle", "square", "triangle", "diamond")
"""The shapes that `Canvas.mark` draws, so that nothing is told by its colour alone."""

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_LETTER: Final = 6.3
"""How wide a letter of 12 px is, on average and a little more."""

_LIGHT: Final = {
    "ground": "#ffffff",
    "ink": "#1f2328",
    "soft": "#59636e",
    "rule": "#d1d9e0",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "first": "#0969da",
    "second": "#bc4c00",
    "third": "#8250df",
}
_DARK: Final = {
    "ground": "#0d1117",
    "ink": "#f0f6fc",
    "soft": "#9198a1",
    "rule": "#3d444d",
    "good": "#3fb950",
    "bad": "#f85149",
    "first": "#4493f8",
    "second": "#f0883e",
    "third": "#ab7df8",
}
_FONT: Final = (
    "text { font: 12px -apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, "
    "Arial, 'DejaVu Sans', sans-serif; } .strong { font-weight: 600; } .title { font-size: 20px; } "
    ".head { font-size: 15px; } .line { fill: none; stroke-width: 2; }"
)


class Canvas:
    """Grows downwards; colours are named by what they tell, and follow the reader's preference."""

    def __init__(self, width: float, title: str, description: str) -> None:
        self._width = width
        self._root = ET.Element(
            "svg",
            {"xmlns": _NAMESPACE, "role": "img", "aria-labelledby": "title description"},
        )
        ET.SubElement(self._root, "title", {"id": "title"}).text = title
        ET.SubElement(self._root, "desc", {"id": "description"}).text = description
        ET.SubElement(self._root, "style").text = "\n".join(
            (
                _FONT,
                _rules(_LIGHT),
                f"@media (prefers-color-scheme: dark) {{ {_rules(_DARK)} }}",
            )
        )
        self._ground = self._shape("rect", "ground edge", x=0.5, y=0.5, rx=6)

    def words(
        self, x: float, y: float, said: str, style: str = "ink", anchor: str = "start"
    ) -> None:
        """A line of words with its baseline at `y`; `anchor` is what `x` is of it."""
        self._shape("text", style, x=x, y=y, text_anchor=anchor).text = said

    def rule(
        self, x1: float, y1: float, x2: float, y2: float, style: str, width: float = 1
    ) -> None:
        """A straight line."""
        self._shape("line", f"{style}-line", x1=x1, y1=y1, x2=x2, y2=y2, stroke_width=width)

    def path(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """A line through the points."""
        through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shape("polyline", f"line {style}-line", points=through)

    def mark(self, x: float, y: float, shape: str, style: str, *, hollow: bool = False) -> None:
        """One of `MARKS` around a point."""
        look = f"{style}-line ground" if hollow else f"{style}-line {style}"
        r = 4.0
        match shape:
            case "circle":
                self._shape("circle", look, cx=x, cy=y, r=r, stroke_width=2)
                return
            case "square":
                corners = [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
            case "triangle":
                corners = [(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)]
            case _:
                corners = [(x, y - r - 2), (x + r + 2, y), (x, y + r + 2), (x - r - 2, y)]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        self._shape("polygon", look, points=points, stroke_width=2)

    def text(self, height: float) -> str:
        """The whole picture, cut at `height`."""
        size = {"width": f"{self._width:g}", "height": f"{height:g}"}
        self._root.attrib |= {**size, "viewBox": f"0 0 {self._width:g} {height:g}"}
        self._ground.attrib |= {"width": f"{self._width - 1:g}", "height": f"{height - 1:g}"}
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"

    def _shape(self, tag: str, style: str, **attributes: float | str) -> ET.Element:
        said = {
            name.replace("_", "-"): value if isinstance(value, str) else f"{value:.4g}"
            for name, value in attributes.items()
        }
        return ET.SubElement(self._root, tag, {"class": style, **said})


def wrapped(said: str, width: float) -> list[str]:
    """The words in lines that are not wider than `width` px."""
    return textwrap.wrap(said, max(1, int(width / _LETTER)))


def _rules(colours: dict[str, str]) -> str:
    fills = [f".{name} {{ fill: {colour}; }}" for name, colour in colours.items()]
    strokes = [f".{name}-line {{ stroke: {colour}; }}" for name, colour in colours.items()]
    return " ".join([*fills, *strokes, f".edge {{ stroke: {colours['rule']}; }}"])
