"""Every program and every command of the pages in docs/ does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta.modules import ROOT
from tests.pages import Page, Reader

PAGES = [Page(path.stem) for path in sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = [page for page in PAGES if page.program()]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_program_prints_what_the_page_shows(page: Page, tmp_path: Path) -> None:
    shown = "".join(page.blocks("text"))
    assert Reader(tmp_path).run(page.program()) == shown != ""
