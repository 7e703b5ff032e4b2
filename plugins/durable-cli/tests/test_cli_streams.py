"""Whatever the standard streams are: closed, full, of another encoding. One line, no traceback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, workflow

if TYPE_CHECKING:
    from conftest import Durable, Written

NAME = "päck€"
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@workflow(name=NAME)
async def foreign(_: DurableContext, text: str) -> str:
    return text


@pytest.fixture
def environment(journal: Written) -> dict[str, str]:
    """With one execution more, whose names no ASCII stream can take."""

    async def run() -> None:
        config = DurableConfig()
        opened = DurableEngine.open(
            journal.url, workflows=[foreign], config=config, keys=journal.key
        )
        async with opened as engine:
            await engine.run(foreign, "ключ", key="ключ")

    asyncio.run(run())
    return {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}


def shell(
    command: str, environment: dict[str, str], stdin: bytes = b""
) -> tuple[int, bytes, bytes]:
    """Run `durable …` as a shell would, with its redirections."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -m durable_cli {command}'],
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        timeout=250,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("locale", [ASCII, C_LOCALE], ids=["encoding", "locale"])
def test_what_the_encoding_lacks_is_escaped(
    environment: dict[str, str],
    locale: dict[str, str],
) -> None:
    code, out, err = shell("list", environment | locale)
    assert (code, err) == (0, b"")
    assert b"p\\xe4ck\\u20ac" in out
    execution = out.splitlines()[-1].split()[0].decode()
    code, out, _ = shell(f"show {execution} --reveal", environment | locale)
    assert code == 0
    assert b"\\u043a" in out


@pytest.mark.parametrize("command", ["list", "verify --json", "keygen", "--help", "--version"])
def test_a_full_disk_behind_stdout_is_an_error(
    environment: dict[str, str],
    command: str,
) -> None:
    code, _, err = shell(f"{command} >/dev/full", environment)
    assert code == 1
    assert err.startswith(b"error: ")
    assert b"No space left on device" in err
    assert err.count(b"\n") == 1


def test_closed_streams_are_an_error_and_no_crash(environment: dict[str, str]) -> None:
    code, out, err = shell("list >&-", environment)
    assert (code, out, err) == (1, b"", b"error: stdout is closed\n")
    assert shell("show nonsense 2>&-", environment) == (1, b"", b"")
    assert shell("list <&-", environment)[0] == 0


@pytest.mark.parametrize(
    ("redirection", "stdin", "word"),
    [
        ("<&-", b"", b"stdin is closed"),
        ("", b'"canary\xff"', b"not JSON"),
        ("", b"9" * 5000, b"not JSON"),
    ],
    ids=["closed", "no UTF-8", "long integer"],
)
@pytest.mark.parametrize("locale", [{}, C_LOCALE], ids=["usual", "locale"])
def test_a_value_that_cannot_be_read_is_wrong_usage(
    journal: Written,
    redirection: str,
    stdin: bytes,
    word: bytes,
    locale: dict[str, str],
) -> None:
    command = f"settle {journal.ids[0]} 0 --ran --value - {redirection}"
    code, out, err = shell(command, {"DURABLE_URL": journal.url, **locale}, stdin)
    assert (code, out) == (2, b"")
    assert word in err
    assert b"Traceback" not in err
    assert b"canary" not in err


def test_arguments_that_are_no_text_find_nothing(
    durable: Durable,
    environment: dict[str, str],
) -> None:
    odd = os.fsdecode(b"\xff")
    ran = durable("verify", "--expect", odd, **environment)
    assert (ran.code, ran.out) == (2, "")
    ran = durable("list", "--workflow", odd, "--json", **environment)
    assert (ran.code, json.loads(ran.out)) == (0, [])
    durable("show", odd, **environment).require_error(r"no execution '\udcff'")
    durable("show", "a\x1b[31m", **environment).require_error(r"no execution 'a\x1b[31m'")


def test_brackets_without_end_are_no_settings(durable: Durable, journal: Written) -> None:
    file = journal.path.parent / "durable.toml"
    file.write_text("[durable]\nurl = " + "[" * 5000)
    durable("list").require_error("durable.toml", "nested too deeply")
