"""The README tells the truth: its example runs as printed, and survives what is promised."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from durable_core.keysources import generate_key
from durable_core.model.entries import EntryKind
from tests.meta.modules import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RETURN = '    return f"invoice of'
DATABASE = "orders.durable.db"


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def program() -> str:
    return blocks("python")[0]


@pytest.fixture
def environment() -> dict[str, str]:
    return {"DURABLE_KEY": generate_key(), "PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"]}


def run(script: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def results(database: Path) -> int:
    """How many step results are committed."""
    uri = f"file:{database}?mode=ro"
    connection = sqlite3.connect(uri, uri=True)
    try:
        counted = connection.execute(
            "SELECT count(*) FROM durable_journal WHERE entry_kind = ?",
            (EntryKind.STEP_RESULT,),
        )
        return int(counted.fetchone()[0])
    finally:
        connection.close()


def test_example_has_at_most_twenty_lines() -> None:
    assert len(program().splitlines()) <= 20


def test_example_prints_what_the_readme_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    script = tmp_path / "orders.py"
    script.write_text(program(), encoding="utf-8")
    first, second = run(script, environment), run(script, environment)
    shown = next(text for text in blocks("console") if "python orders.py" in text)
    _, *printed = shown.split("$ python orders.py\n")
    assert [first, second] == printed
    assert "charging" in first
    assert "charging" not in second


def test_example_survives_being_killed_as_described(
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    script = tmp_path / "orders.py"
    waiting = '    input("kill me now ")\n'
    assert waiting.strip() in README
    script.write_text(program().replace(RETURN, waiting + RETURN), encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "charging order-42\n"
            assert child.stdout.read(len("kill me now ")) == "kill me now "
            # The journal says when the charge is committed; the README's reader is slower.
            while results(tmp_path / DATABASE) == 0:
                assert child.poll() is None
        finally:
            child.kill()
    script.write_text(program(), encoding="utf-8")
    assert run(script, environment) == "invoice of order-42: payment of 1999 cents\n"
    assert results(tmp_path / DATABASE) == 2


def test_example_without_a_key_says_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "orders.py"
    script.write_text(program(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 1
    assert "ConfigError" in done.stderr
    assert "durable keygen" in done.stderr
    assert not (tmp_path / DATABASE).exists()


@pytest.mark.parametrize("command", ["pip install nox && nox -s demo", "pip install nox && nox "])
def test_both_commands_are_there(command: str) -> None:
    assert f"$ {command}" in README


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_readme_compiles(code: str) -> None:
    compile(code, "README.md", "exec")
