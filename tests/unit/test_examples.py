"""The examples run as they are, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from durable_core.keysources import generate_key
from tests.meta.modules import ROOT

KEY = generate_key()


def run(example: str, *arguments: str, folder: Path) -> str:
    """What the example prints; it must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example), *arguments],
        cwd=folder,
        env={"DURABLE_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_writer_alone_writes_and_reads_back(tmp_path: Path) -> None:
    printed = run("writer_alone.py", "sqlite:///readings.db", folder=tmp_path).splitlines()
    assert printed == [
        "entry 0: accepted",
        "entry 1: accepted",
        "entry 2: durable with everything before it, seq 4",
        "health: healthy",
        "1 - sensor 7",
        "2 0 0 C",
        "3 1 1 C",
        "4 2 2 C",
        "5 - done",
    ]
    assert b"sensor 7" not in (tmp_path / "readings.db").read_bytes()


def test_nightly_has_an_execution_for_each_night(tmp_path: Path) -> None:
    for _ in range(2):
        printed = run("nightly.py", "sqlite:///nights.db", "3", folder=tmp_path).splitlines()
        assert printed == ["report of night 3", "3 executions of at most 6 entries"]


def test_document_names_the_example() -> None:
    document = (ROOT / "docs" / "writer-alone.md").read_text(encoding="utf-8")
    assert "../examples/writer_alone.py" in document
