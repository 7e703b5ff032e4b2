"""Runs the pages of docs/ as a reader would: their programs, and the commands of their consoles.

The Python blocks of a page, one behind the other, are one program; its text blocks, one behind the
other, are what that prints. A block that begins with the name of a file in a comment is that file
instead, for the commands of the page's console blocks.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import field, frozen

from durable_core.keysources import generate_key
from tests.meta.modules import ROOT

__all__ = ["Command", "Page", "Reader"]

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# (\w+\.\w+)\n")
_VOLATILE: Final = re.compile(
    r"(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<digest>\b[0-9a-f]{32,}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r"|(?P<epoch>\bepoch \d+)"
)
"""What another run prints otherwise."""

_SPACE: Final = re.compile(r" +")


@frozen
class Command:
    """One command of a console block, and what the page says that it prints."""

    line: str
    printed: str


@frozen
class Page:
    """One page of docs/."""

    name: str

    @property
    def text(self) -> str:
        """The page as it stands."""
        return (ROOT / "docs" / f"{self.name}.md").read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The blocks of a language, in their order."""
        return [text for name, text in _BLOCK.findall(self.text) if name == language]

    def program(self) -> str:
        """What the page's Python blocks make together; empty where each is a file."""
        return "".join(block for block in self.blocks("python") if not _FILE.match(block))

    def files(self) -> Iterator[tuple[str, str]]:
        """The names and contents of the files that the page shows."""
        for block in [*self.blocks("toml"), *self.blocks("python")]:
            found = _FILE.match(block)
            if found:
                yield found[1], block

    def commands(self) -> Iterator[Command]:
        """Every command of the page, in its order."""
        for block in self.blocks("console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, printed = part.partition("\n")
                yield Command(line, printed)


@frozen
class Reader:
    """Does what a page says, in a folder of its own, with a key of its own."""

    folder: Path
    ids: dict[str, str] = field(factory=dict)
    """The ids that the page prints, and what they are here."""

    environment: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        object.__setattr__(self, "environment", {"PATH": path, "DURABLE_KEY": generate_key()})

    def run(self, program: str) -> str:
        """What a program prints that ends well and says nothing on stderr."""
        script = self.folder / "page.py"
        script.write_text(program, encoding="utf-8")
        done = self._done(sys.executable, script.name)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def keep(self, page: Page) -> None:
        """Save the files that the page shows."""
        for name, content in page.files():
            (self.folder / name).write_text(content, encoding="utf-8")

    def enter(self, command: Command) -> tuple[str, str]:
        """What the page says that a command prints, and what it prints; what varies is left out."""
        line = command.line
        for shown, real in self.ids.items():
            line = line.replace(shown, real)
        done = self._done("bash", "-c", f"{line} 2>&1")
        killed = done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}
        printed = done.stdout + ("Killed\n" if killed else "")  # as an interactive shell says
        self._learn(command.printed, printed)
        return _steady(command.printed), _steady(printed)

    def _learn(self, shown: str, printed: str) -> None:
        for one, other in zip(_ids(shown), _ids(printed), strict=False):
            self.ids.setdefault(one, other)

    def _done(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )


def _ids(text: str) -> list[str]:
    return [found[0] for found in _VOLATILE.finditer(text) if found["id"]]


def _steady(text: str) -> str:
    """The text without what another run prints otherwise, and with single spaces."""
    masked = _VOLATILE.sub(lambda found: f"<{found.lastgroup}>", text)
    return _SPACE.sub(" ", masked)
