"""The picture that the README shows is that of the figures beside it."""

from __future__ import annotations

import json

from bench.picture import drawn
from tests.meta.modules import ROOT


def test_the_picture_is_what_its_figures_draw() -> None:
    record = json.loads((ROOT / "docs" / "figures.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "figures.svg").read_text(encoding="utf-8") == drawn(record)
