"""Whatever cannot be done: one line on stderr, exit code 1, and no secret; wrong usage is 2."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, workflow
from durable_core.keysources import generate_key
from durable_core.registry import Registry

if TYPE_CHECKING:
    from conftest import Durable, Written

UNKNOWN = "01a20ca2-ca07-70a8-a1b4-ffe4c2bf266e"
READING = [["list"], ["show", UNKNOWN], ["inspect", UNKNOWN], ["verify"]]
CHANGING = [
    ["settle", UNKNOWN, "0", "--did-not-run"],
    ["cancel", UNKNOWN],
    ["resume", UNKNOWN],
    ["claim", UNKNOWN],
]
RESOLVING = ["resolve", UNKNOWN, "1"]
COMMANDS = [*READING, *CHANGING, RESOLVING]
ROGUE = """
[durable_core.backends]
rogue = rogue_backend:Backend
"""


@pytest.fixture(autouse=True)
def _with_a_token(_alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `resolve` looks for before it opens anything."""
    monkeypatch.setenv("DURABLE_PROMISE_TOKEN", "0" * 64)


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_missing_database_is_refused_and_not_created(
    durable: Durable,
    tmp_path: Path,
    command: list[str],
) -> None:
    ran = durable(*command, DURABLE_URL="sqlite:///missing.db", DURABLE_KEY=generate_key())
    ran.require_error("missing.db", "no journal")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_empty_file_is_refused_and_left_empty(
    durable: Durable,
    tmp_path: Path,
    command: list[str],
) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    ran = durable(*command, DURABLE_URL="sqlite:///empty.db", DURABLE_KEY=generate_key())
    ran.require_error("empty.db", "no journal")
    assert (empty.stat().st_size, list(tmp_path.iterdir())) == (0, [empty])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_database_is_named(durable: Durable, command: list[str]) -> None:
    durable(*command, DURABLE_KEY=generate_key()).require_error("DURABLE_URL", "durable.toml")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("nonsense-{canary}", "no database URL"),
        ("sqlite:///", "no usable path"),
        ("sqlite:///no/such/folder/orders.db", "no journal"),
        ("mysql://user:{canary}@host/db", "mysql"),
        ("user:{canary}@host://db", "no database URL"),
        ("user:{canary}@host/db?next=http://other", "no database URL"),
        ("://user:{canary}@host/db", "no database URL"),
    ],
)
def test_ec_27_a_wrong_url_is_refused_without_its_password(
    durable: Durable,
    canary: str,
    url: str,
    word: str,
) -> None:
    url = url.format(canary=canary)
    durable("verify", "--url", url, DURABLE_KEY=generate_key()).require_error(word)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("", "DURABLE_KEY"),
        ("1:canary-7f3a91", "entry 1"),
        ("canary-7f3a91", "entry 1"),
        ("1:" + "A" * 43 + ",1:" + "B" * 43, "entry 2"),
        ("300:" + "A" * 43, "entry 1"),
        ("1:" + "A" * 43, "other key bytes"),
        ("2:" + "A" * 43, "key id 1"),
    ],
    ids=["empty", "short", "no id", "twice", "out of range", "wrong", "unknown id"],
)
def test_a_key_that_does_not_fit_is_refused(
    durable: Durable,
    journal: Written,
    key: str,
    word: str,
) -> None:
    for command in (
        ["verify"],
        ["show", journal.ids[0], "--reveal"],
        ["inspect", journal.ids[0], "--reveal"],
    ):
        ran = durable(*command, "--url", journal.url, DURABLE_KEY=key)
        ran.require_error(word)
        assert "A" * 43 not in ran.err


@pytest.mark.parametrize("command", ["cancel", "resume", "claim"])
def test_nothing_is_changed_with_a_key_that_does_not_fit(
    durable: Durable, blocked: Written, command: str
) -> None:
    for key, word in (("1:" + "A" * 43, "other key bytes"), ("2:" + "A" * 43, "key id 1")):
        ran = durable(command, blocked.ids[0], "--url", blocked.url, DURABLE_KEY=key)
        ran.require_error(word)
    assert "blocked" in durable("list", **blocked.environment).out


@pytest.mark.parametrize("key", ["1:" + "A" * 43, "2:" + "A" * 43], ids=["bytes", "id"])
def test_with_a_key_of_another_database_is_shown_what_needs_none(
    durable: Durable,
    journal: Written,
    key: str,
) -> None:
    for command in (["list"], ["show", journal.ids[0]], ["inspect", journal.ids[0]]):
        without = durable(*command, "--url", journal.url)
        assert without.code == 0
        assert durable(*command, "--url", journal.url, DURABLE_KEY=key) == without


def test_a_broken_key_is_not_taken_for_no_key(durable: Durable, journal: Written) -> None:
    """`list` goes without a key, but not past one that is configured and wrong."""
    durable("list", "--url", journal.url, DURABLE_KEY="1:short").require_error("entry 1")


def test_a_missing_key_file_is_refused(durable: Durable, journal: Written) -> None:
    ran = durable("verify", "--url", journal.url, "--key-file", "nowhere.key")
    ran.require_error("nowhere.key")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_foreign_database_is_refused_and_left_alone(
    durable: Durable,
    tmp_path: Path,
    command: list[str],
) -> None:
    foreign = tmp_path / "foreign.db"
    change(foreign, "CREATE TABLE customers (name TEXT)")
    before = foreign.read_bytes()
    ran = durable(*command, DURABLE_URL="sqlite:///foreign.db", DURABLE_KEY=generate_key())
    ran.require_error("not a journal")
    assert foreign.read_bytes() == before
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_file_that_is_no_database_is_refused(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database at all, but long enough to look at\n" * 9)
    durable("list", "--url", "sqlite:///notes.txt").require_error("notes.txt", "SQLite")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_newer_schema_is_refused(durable: Durable, journal: Written, command: list[str]) -> None:
    change(journal.path, "INSERT INTO durable_schema (version, applied_at) VALUES (99, 0)")
    ran = durable(*command, "--url", journal.url, DURABLE_KEY=journal.key)
    ran.require_error("schema version 99", "upgrade")


def test_an_unknown_setting_is_refused(durable: Durable, journal: Written) -> None:
    Path("durable.toml").write_text("[durable]\nencrypt_payloads = true\n")
    ran = durable("list", "--url", journal.url, DURABLE_KEY=journal.key)
    ran.require_error("encrypt_payloads", "did you mean 'encrypt_payload'?")


@pytest.mark.parametrize("execution", [UNKNOWN, "nonsense"])
@pytest.mark.parametrize(
    "command",
    [*CHANGING, ["show", UNKNOWN], ["inspect", UNKNOWN], ["verify", UNKNOWN]],
    ids=lambda command: command[0],
)
def test_an_unknown_id_is_refused(
    durable: Durable,
    journal: Written,
    command: list[str],
    execution: str,
) -> None:
    arguments = [execution if word == UNKNOWN else word for word in command]
    ran = durable(*arguments, **journal.environment)
    ran.require_error("no execution", execution)


@pytest.mark.parametrize(
    "command",
    [
        ["--no-such-option", "list"],
        ["no-such-command"],
        ["list", "--status", "sleeping"],
        ["list", "--limit", "0"],
        ["list", "--limit", "many"],
        ["show"],
        ["keygen", "--id", "0"],
        ["keygen", "--id", "256"],
        ["settle", "x", "0"],
        ["settle", "x", "0", "--ran"],
        ["settle", "x", "0", "--ran", "--abandon"],
        ["settle", "x", "0", "--did-not-run", "--value", "1"],
        ["settle", "x", "0", "--ran", "--value", "canary-7f3a91"],
        ["cancel"],
        ["cancel", "x", "--wait", "0"],
        ["cancel", "x", "--wait", "soon"],
        ["resolve"],
        ["resolve", "x"],
        ["resolve", "x", "canary-7f3a91"],
        ["resolve", "x", "1", "canary-7f3a91"],
        ["resolve", "x", "1", "--reject", "no"],
        ["resolve", "x", "1", "--token", "canary-7f3a91"],
        ["resolve", "x", "--jsn"],
        ["resume", "x", "--reveal"],
        ["resume", "x", "--app", ""],
        ["resume", "x", "--app", "canary-7f3a91"],
        ["resume", "x", "--app", "shop:"],
        ["resume", "x", "--app", ":order"],
        ["demo", "--orders", "0"],
        ["demo", "--kills", "-1"],
        ["demo", "--keep", "a", "--check", "b"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart(durable: Durable, command: list[str], canary: str) -> None:
    ran = durable(*command)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: durable" in ran.err
    assert canary not in ran.err
    assert "Traceback" not in ran.err


def test_an_unexpected_error_shows_its_type_alone(
    durable: Durable,
    journal: Written,
    canary: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> Registry:
        raise RuntimeError(canary)

    monkeypatch.setattr(Registry, "discover", broken)
    ran = durable("list", "--url", journal.url)
    ran.require_error("RuntimeError", "defect")


def test_a_rogue_backend_is_listed_and_then_refused(
    durable: Durable,
    journal: Written,
    tmp_path: Path,
) -> None:
    """`plugins` shows why; whatever opens a journal refuses with the same words."""
    site = tmp_path / "site"
    installed = site / "rogue-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ROGUE)
    path = {"PYTHONPATH": str(site)}
    listed = durable.alone("plugins", **path)
    assert (listed.code, listed.err) == (0, "")
    (line,) = [line for line in listed.out.splitlines() if "rogue" in line]
    assert "refused" in line
    ran = durable.alone("list", "--url", journal.url, **path)
    ran.require_error("rogue 1.0", "not allowed")


def test_logged_warnings_do_not_reach_stderr(durable: Durable, blocked: Written) -> None:
    """An engine that encrypts nothing warns; here it must leave the one line alone."""
    ran = durable.alone(
        "settle",
        blocked.ids[0],
        "0",
        "--did-not-run",
        DURABLE_URL=blocked.url,
        DURABLE_KEY=blocked.key,
        DURABLE_ENCRYPT_PAYLOAD="false",
    )
    ran.require_error("no cipher")


def test_what_was_written_without_a_key_needs_none(durable: Durable, tmp_path: Path) -> None:
    """There is nothing to check and nothing to open; and nobody says that it was verified."""
    url = f"sqlite:///{tmp_path / 'plain.db'}"
    execution = asyncio.run(_open_unencrypted(url))
    ran = durable("verify", "--url", url)
    assert ran.code == 0
    assert ran.err.startswith("unstamped: ")
    report = json.loads(durable("verify", "--url", url, "--json").out)
    assert (report["verified"], report["executions"], report["unstamped"]) == (False, 1, 1)
    ran = durable("show", execution, "--reveal", "--url", url)
    assert ran.code == 0
    assert "hello" in ran.out
    ran = durable("list", "--url", url)
    assert (ran.code, "DURABLE_KEY" in ran.err) == (0, False)


@workflow(name="greet")
async def greet(_: DurableContext) -> str:
    return "hello"


async def _open_unencrypted(url: str) -> str:
    config = DurableConfig(encrypt_payload=False)
    async with DurableEngine.open(url, workflows=[greet], config=config) as engine:
        handle = await engine.start(greet)
        await handle.result()
        return str(handle.id)
