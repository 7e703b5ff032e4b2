"""The picture of a run is one well-formed SVG that says in words what it tells by colour."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from bench.curves import Curve, curve_record, point_of
from bench.figures import Bar, Figure, Unit, as_record, figure_of
from bench.picture import drawn, main

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = (
    Figure("NFR-5", "entries, more than <asked> & such", Unit.PER_SECOND, 60, 0.6, 100, 0.5, 0.9,
           Bar(0.5, at_least=True)),
    Figure("NFR-12", "a step behind many rows", Unit.MICROSECONDS, 90, 1.5, 60, 1.2, 1.6, Bar(1.3)),
    Figure("NFR-13", "different nonces", Unit.NONCES, 1e6, 1e6, bar=Bar(1e6, at_least=True)),
    Figure("NFR-11", "calls of the cipher", Unit.CALLS, 1, 1, bar=Bar(0)),
    Figure("steps", "what has no bar", Unit.PER_SECOND, 1000, 1000),
)  # fmt: skip
CURVES = (
    Curve("curve-journal", "time of a step", "a guarded step", "rows", Unit.MICROSECONDS,
          tuple(point_of(at, [100.0 + at / 1e5]) for at in (0, 10_000, 1_000_000))),
    Curve("curve-payload", "steps per second", "steps at once", "bytes", Unit.PER_SECOND,
          tuple(point_of(at, [900.0 - at / 2048, 950.0]) for at in (100, 1024, 1 << 20)), "byte"),
)  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    whole = {
        "machine": "2026-01-31, 2 cores, a machine",
        "figures": [as_record(figure) for figure in FIGURES],
        "curves": [curve_record(curve) for curve in CURVES],
    }
    return {**whole, **changes}


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - our own text


def words(picture: str) -> list[str]:
    return [each.text or "" for each in parsed(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize("figure", FIGURES[:4], ids=lambda figure: figure.name)
def test_every_figure_with_a_bar_is_named_with_its_bar_and_its_verdict(figure: Figure) -> None:
    said = words(drawn(record()))
    found = [said[n:] for n, word in enumerate(said) if word == figure.name]
    assert len(found) == 1
    row = found[0]
    upto = min(row.index(word) for word in ("reached", "MISSED") if word in row)
    assert " ".join(row[1:upto]).startswith(figure.what)
    assert str(figure.bar) in row[:upto]
    assert row[upto] == ("reached" if figure.met else "MISSED")


def test_what_is_missed_has_a_shape_of_its_own() -> None:
    """Circles are what reached its bar; the diamonds are hollow."""
    root = parsed(drawn(record(curves=[])))
    circles = [each for each in root.iter(f"{SVG}circle") if "good" in each.attrib["class"]]
    diamonds = [each for each in root.iter(f"{SVG}polygon") if "ground" in each.attrib["class"]]
    assert (len(circles), len(diamonds)) == (2, 2), "one in the legend, one in the chart"


def test_marks_lie_on_their_side_of_the_bar() -> None:
    root = parsed(drawn(record(curves=[])))
    (bar,) = [each for each in root.iter(f"{SVG}line") if each.attrib["class"] == "ink-line"]
    good = [each for each in root.iter(f"{SVG}line") if each.attrib["class"] == "good-line"]
    bad = [each for each in root.iter(f"{SVG}line") if each.attrib["class"] == "bad-line"]
    assert [float(each.attrib["x2"]) > float(bar.attrib["x1"]) for each in good] == [True]
    assert [float(each.attrib["x2"]) < float(bar.attrib["x1"]) for each in bad] == [True]


def test_every_curve_is_named_with_its_axis_and_its_flatness() -> None:
    said = words(drawn(record()))
    for curve in CURVES:
        assert said[said.index(curve.what) - 1] == f"{curve.flatness:.2f}"
        assert curve.axis in said
        assert any(word.startswith(curve.value.capitalize()) for word in said)


def test_it_says_what_it_is_to_who_cannot_see_it() -> None:
    root = parsed(drawn(record()))
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    title, described = (root.findtext(f"{SVG}{tag}") or "" for tag in ("title", "desc"))
    assert title.endswith("2 of 4 bars reached")
    assert "NFR-12, a step behind many rows: MISSED." in described
    assert "2026-01-31, 2 cores, a machine" in described


def test_it_names_the_machine_and_follows_dark_grounds() -> None:
    picture = drawn(record())
    assert "2026-01-31, 2 cores, a machine" in words(picture)
    assert "prefers-color-scheme: dark" in picture


def test_a_peer_has_its_version() -> None:
    bar = Bar(8, at_least=True)
    figure = Figure("NFR-1", "steps, against some", Unit.PER_SECOND, 9, 9, 1, bar=bar)
    beside = [as_record(figure), as_record(evolve(figure, name="NFR-2", against="some 1.2.3"))]
    said = words(drawn(record(figures=beside, curves=[])))
    assert {"steps, against some", "steps, against some 1.2.3"} <= set(said)


def test_it_says_when_rounds_were_small() -> None:
    assert "Small rounds" in drawn(record(quick=True))
    assert "Small rounds" not in drawn(record(quick=False))


def test_no_words_are_small() -> None:
    sizes = [int(size) for size in re.findall(r"(\d+)px", drawn(record()))]
    assert sizes
    assert min(sizes) >= 12


@pytest.mark.parametrize("what", ["figures", "curves"])
def test_a_run_of_one_kind_is_drawn(what: str) -> None:
    whole, part = words(drawn(record())), words(drawn(record(**{what: []})))
    assert 0 < len(part) < len(whole)


def test_it_is_drawn_again_from_a_file(tmp_path: Path) -> None:
    stored, picture = tmp_path / "figures.json", tmp_path / "picture.svg"
    stored.write_text(json.dumps(record()))
    assert main([str(stored), str(picture)]) == 0
    assert picture.read_text() == drawn(record())


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_comes_back_from_its_record(figure: Figure) -> None:
    assert figure_of(json.loads(json.dumps(as_record(figure)))) == figure
