"""One picture of a run: `python -m bench.picture FIGURES.json PICTURE.svg` draws it anew."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.arguments import file_to_write
from bench.canvas import Canvas
from bench.curves import curve_of
from bench.figures import figure_of
from bench.panels import draw_curves
from bench.ratios import draw_ratios

__all__ = ["drawn", "main"]

_WIDTH: Final = 880.0
_EDGE: Final = 24.0
_TITLE: Final = "What durable-core costs"
_SAID: Final = (
    "Medians of alternating rounds on real files and a real server, with encryption, chain and "
    "full durability on."
)
_QUICK: Final = " Small rounds."


def drawn(record: Mapping[str, Any]) -> str:
    """The SVG of a run's record, as `--json` writes it."""
    figures = [figure_of(each) for each in record["figures"]]
    curves = [curve_of(each) for each in record.get("curves", ())]
    told = [figure for figure in figures if figure.bar is not None]
    reached = sum(bool(figure.met) for figure in told)
    canvas = Canvas(
        _WIDTH,
        f"{_TITLE}: {reached} of {len(told)} bars reached",
        f"{_SAID} {record['machine']}. "
        + " ".join(f"{each.name}, {each.what}: {each.verdict}." for each in told),
    )
    left, right = _EDGE, _WIDTH - _EDGE
    canvas.words(left, 42, _TITLE, "ink strong title")
    if told:
        canvas.words(right, 42, f"{reached} of {len(told)} bars reached", "ink strong head", "end")
    canvas.words(left, 64, f"{_SAID}{_QUICK if record.get('quick') else ''}", "soft")
    canvas.words(left, 81, record["machine"], "soft")
    below = draw_ratios(canvas, figures, left, right, 116)
    return canvas.text(draw_curves(canvas, curves, left, right, below + (40 if told else 0)) + 8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the picture of a file of figures; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.picture", description=__doc__)
    parser.add_argument("figures", type=Path, help="what `python -m bench --json` has written")
    parser.add_argument("picture", type=file_to_write, help="the SVG to write")
    options = parser.parse_args(arguments)
    try:
        record = json.loads(options.figures.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{options.figures} cannot be read: {error}")
    options.picture.write_text(drawn(record), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
