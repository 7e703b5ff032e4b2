"""The examples run as they are, in a process of their own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from durable_core.keysources import generate_key
from durable_core.model.entries import EntryKind
from tests.meta.modules import ROOT

ITEMS = 1_000
SOME = 100


def command(example: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / example), *arguments]


def run(example: str, *arguments: str, folder: Path, key: str | None = None) -> str:
    """What the example prints; it must end well and say nothing on stderr."""
    done = subprocess.run(
        command(example, *arguments),
        cwd=folder,
        env={"DURABLE_KEY": key or generate_key()},
        capture_output=True,
        text=True,
        timeout=250,
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


def closed_steps(journal: Path) -> int:
    """How many steps the journal holds as closed."""
    with closing(sqlite3.connect(journal)) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM durable_journal WHERE entry_kind = ?", (EntryKind.STEP_RESULT,)
        ).fetchone()
    return int(count)


def test_fan_out_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    journal, key = tmp_path / "pages.db", generate_key()
    fetched: list[str] = []
    with subprocess.Popen(
        command("fan_out.py", "sqlite:///pages.db"),
        cwd=tmp_path,
        env={"DURABLE_KEY": key},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            fetched.append(line.strip())
            if closed_steps(journal) >= SOME:
                process.kill()
                break
        fetched += [line.strip() for line in process.stdout if line.endswith("\n")]
    recorded = closed_steps(journal)
    assert SOME <= recorded < ITEMS
    *again, last = run("fan_out.py", "sqlite:///pages.db", folder=tmp_path, key=key).splitlines()
    assert len(again) == ITEMS - recorded, "what is recorded is not fetched again"
    assert {*fetched, *again} == {f"fetched {number}" for number in range(ITEMS)}
    assert last == f"sum: {sum(number * number for number in range(ITEMS))}"
    assert run("fan_out.py", "sqlite:///pages.db", folder=tmp_path, key=key) == f"{last}\n"


def test_document_names_the_example() -> None:
    document = (ROOT / "docs" / "writer-alone.md").read_text(encoding="utf-8")
    assert "../examples/writer_alone.py" in document
