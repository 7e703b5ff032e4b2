"""Every program and every command of the pages in docs/ does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta.modules import ROOT
from tests.pages import Page, Reader

PAGES = [Page(path.stem) for path in sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = [page for page in PAGES if page.program()]
OPERATED = [page for page in PAGES if [*page.files()]]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_program_prints_what_the_page_shows(page: Page, tmp_path: Path) -> None:
    shown = "".join(page.blocks("text"))
    assert Reader(tmp_path).run(page.program()) == shown != ""


@pytest.mark.timeout(1500)  # each command is a process of its own
@pytest.mark.parametrize("page", OPERATED, ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Page, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.keep(page)
    for command in page.commands():
        shown, printed = reader.enter(command)
        assert printed == shown, command.line
    assert len(reader.ids) > 1


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"](docs/{page.name}.md)" not in readme] == []
