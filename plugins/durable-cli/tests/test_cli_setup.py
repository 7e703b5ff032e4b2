"""`durable keygen`, `plugins`, the version and the help; and how values look as JSON."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_cli.output import plain, print_table, printable, shown_time, with_bytes_shown
from durable_core.keysources import parse_keys

if TYPE_CHECKING:
    from conftest import Durable, Written


def test_keygen_prints_a_usable_key_and_nothing_else(durable: Durable) -> None:
    ran = durable("keygen", "--id", "7")
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    keys = parse_keys(line)
    assert (keys.current, list(keys.by_id)) == (7, [7])
    assert durable("keygen", "--id", "7").out != ran.out


def test_a_generated_key_opens_nothing_that_exists(durable: Durable, journal: Written) -> None:
    key = durable("keygen").out.strip()
    ran = durable("verify", "--url", journal.url, DURABLE_KEY=key)
    ran.require_error("other key bytes")


@pytest.mark.entrypoints
def test_plugins_lists_what_is_installed(durable: Durable) -> None:
    listed = json.loads(durable("plugins", "--json").out)
    usable = {(info["kind"], info["name"], info["distribution"]) for info in listed}
    assert {
        ("backend", "sqlite", "durable-sqlite"),
        ("cipher", "xaes-256-gcm", "durable-aead"),
    } <= usable
    table = durable("plugins")
    assert table.code == 0
    assert "durable-sqlite" in table.out


@pytest.mark.entrypoints
def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("durable")
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == (f"durable {version('durable-cli')}\n", "")


def test_the_module_is_the_command(durable: Durable) -> None:
    ran = durable.alone("--version")
    assert (ran.code, ran.out, ran.err) == (0, durable("--version").out, "")


def test_help_names_every_command(durable: Durable) -> None:
    ran = durable("--help")
    assert ran.code == 0
    commands = "demo keygen list show inspect verify settle cancel resume claim plugins"
    for command in commands.split():
        assert f"\n  {command} " in ran.out


def test_values_that_json_lacks_are_tagged() -> None:
    value = {"b": b"\x00\xff", "s": {2, 1}, "f": [math.inf, 1.5], "n": None, "i": 1 << 70}
    assert with_bytes_shown(value) == {
        "b": {"bytes": "00ff"},
        "s": {"set": [1, 2]},
        "f": [{"float": "inf"}, 1.5],
        "n": None,
        "i": 1 << 70,
    }


def test_no_key_of_a_map_hides_another() -> None:
    assert with_bytes_shown({1: "a", "1": {(2,): None}}) == {
        "map": [[1, "a"], ["1", {"map": [[[2], None]]}]],
    }


def test_integers_of_any_length_are_shown() -> None:
    """Python itself refuses to write more than 4300 digits."""
    long = -(10**5000)
    assert with_bytes_shown([long, {long}]) == [{"int": hex(long)}, {"set": [{"int": hex(long)}]}]
    value = {"a": [long, (1, "x")], 2: {long}, 3: frozenset({3})}
    assert repr(printable(value)) == (
        f"{{'a': [{hex(long)}, (1, 'x')], 2: {{{hex(long)}}}, 3: frozenset({{3}})}}"
    )


def test_times_are_utc_and_never_fail() -> None:
    assert shown_time(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert shown_time(None) is None
    assert shown_time(1 << 62) == str(1 << 62)


def test_nothing_that_steers_a_terminal_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert plain("a\x1b[31mb\nc\x07") == "a\\x1b[31mb c\\x07"
    print_table(("ID",), [("[bold]x[/]\x1b[2J",)])
    assert capsys.readouterr().out == "ID\n[bold]x[/]\\x1b[2J\n"
