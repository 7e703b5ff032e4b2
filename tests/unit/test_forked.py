"""Processes that are forked behind their imports end, and are ended, as others are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.forked import begin, run

SCRIPT = """
import json, os, sys, warnings
print(json.dumps([__name__, sys.argv[1:], sys.path[0], os.getcwd(), sorted(os.environ)]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import sys; sys.stderr.write('yes'); sys.stdin.read()", 0, "yes"),
    ],
)
def test_its_status_and_its_last_words(script: Path, text: str, status: int, said: str) -> None:
    script.write_text(text)
    ended = run([str(script)], {})
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", said)


def test_an_exception_is_shown(script: Path) -> None:
    script.write_text("print('before')\nraise LookupError('lost')")
    ended = run([str(script)], {})
    assert (ended.returncode, ended.stdout) == (1, "before\n")
    assert ended.stderr.endswith("LookupError: lost\n")


def test_it_has_what_it_is_given(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT)
    ended = run([str(script), "one", "two"], {"PATH": "", "LIKED": "yes"})
    shown = f'["__main__", ["one", "two"], "{tmp_path}", "{Path.cwd()}", ["LIKED", "PATH"]]\n'
    assert (ended.stdout, ended.stderr) == (shown, "")


def test_a_module_is_run(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "shown.py").write_text("import sys; print(__name__, sys.argv[1:])")
    ended = run(["-m", "shown", "it"], {"PYTHONPATH": str(tmp_path / "there")})
    assert (ended.returncode, ended.stdout) == (0, "__main__ ['it']\n")


@pytest.mark.parametrize(("strict", "status"), [(False, 0), (True, 1)])
def test_a_warning_is_an_error_where_it_is_strict(script: Path, strict: bool, status: int) -> None:  # noqa: FBT001 - of a table
    script.write_text("import warnings; warnings.warn('mind')")
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - a stream, not a file
        process = begin([str(script)], {}, [nothing.fileno()] * 3, strict=strict)
    assert process.wait() == status
    process.close()


def test_it_is_killed_though_it_does_not_end(script: Path) -> None:
    script.write_text("import os; os.write(int(os.environ['TELL']), b'on'); input()")
    heard, told = os.pipe()
    silent, kept = os.pipe()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a stream, not a file
        streams = [silent, nothing.fileno(), nothing.fileno()]
        process = begin([str(script)], {}, streams, named={"TELL": told})
    os.close(told)
    os.close(silent)
    assert os.read(heard, 2) == b"on"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert os.read(heard, 1) == b"", "nobody else holds what it was given"
    process.kill()  # its number is still its own
    process.close()
    os.close(heard)
    os.close(kept)
