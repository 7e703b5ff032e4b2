"""`durable list`, `show` and `verify`: with a key, without one, and beside a running engine."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_core import DurableConfig, DurableEngine
from durable_core.ids import ExecutionId

if TYPE_CHECKING:
    from conftest import Durable, Written


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list_with_the_key_is_verified(durable: Durable, journal: Written) -> None:
    ran = durable("list", "--json", DURABLE_URL=journal.url, DURABLE_KEY=journal.key)
    assert (ran.code, ran.err) == (0, "")
    rows = json.loads(ran.out)
    # By id, so by age; executions of one millisecond have no other order.
    assert [row["execution_id"] for row in rows] == sorted(journal.ids)
    assert [row["key"] for row in rows] == ["parcel-0", "parcel-1", "parcel-2"]
    assert {(row["workflow"], row["status"], row["verified"]) for row in rows} == {
        ("pack", "completed", True)
    }


def test_list_without_a_key_says_unverified(durable: Durable, journal: Written) -> None:
    ran = durable("list", "--url", journal.url)
    assert ran.code == 0
    assert ran.out.count("unverified") == 3
    assert "unverified" in ran.err
    assert "DURABLE_KEY" in ran.err
    rows = json.loads(durable("list", "--url", journal.url, "--json").out)
    assert [row["verified"] for row in rows] == [False, False, False]


def test_list_never_cuts_an_id(durable: Durable, journal: Written) -> None:
    ran = durable("list", DURABLE_URL=journal.url, DURABLE_KEY=journal.key, COLUMNS="20")
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == sorted(journal.ids)


def test_list_filters(durable: Durable, journal: Written) -> None:
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    for options in (["--status", "failed"], ["--workflow", "other"]):
        assert json.loads(durable("list", "--json", *options, **environment).out) == []
    options = ["--status", "completed", "--workflow", "pack"]
    assert len(json.loads(durable("list", "--json", *options, **environment).out)) == 3


def test_list_says_that_there_are_more(durable: Durable, journal: Written) -> None:
    ran = durable("list", "--limit", "2", DURABLE_URL=journal.url, DURABLE_KEY=journal.key)
    assert len(ran.out.splitlines()) == 3
    assert "--limit" in ran.err


def test_options_may_stand_before_the_command(durable: Durable, journal: Written) -> None:
    key_file = journal.path.with_name("durable.key")
    key_file.touch(mode=0o600)
    key_file.write_text(journal.key)
    options = ("--url", journal.url, "--key-file", str(key_file))
    before, after = durable(*options, "list"), durable("list", *options)
    assert before == after
    assert (before.code, before.err) == (0, "")
    assert before.out.count("verified") == 3


def test_settings_come_from_durable_toml(durable: Durable, journal: Written) -> None:
    Path("durable.toml").write_text(f'[durable]\nurl = "{journal.url}"\n')
    assert durable("verify", DURABLE_KEY=journal.key).code == 0


def test_show_is_redacted(durable: Durable, journal: Written, canary: str) -> None:
    ran = durable("show", journal.ids[0], DURABLE_URL=journal.url, DURABLE_KEY=journal.key)
    assert (ran.code, ran.err) == (0, "")
    assert "label" in ran.out
    assert "at_least_once" in ran.out
    assert canary not in ran.out


@pytest.mark.parametrize("with_key", [True, False])
def test_show_in_json(
    durable: Durable,
    journal: Written,
    canary: str,
    *,
    with_key: bool,
) -> None:
    key = {"DURABLE_KEY": journal.key} if with_key else {}
    ran = durable("show", journal.ids[1], "--json", DURABLE_URL=journal.url, **key)
    shown = json.loads(ran.out)
    assert (shown["execution_id"], shown["verified"]) == (journal.ids[1], with_key)
    kinds = [entry["kind"] for entry in shown["entries"]]
    assert kinds == ["execution_started", "step_result", "execution_finished"]
    result = shown["entries"][1]
    assert (result["entry_no"], result["step_id"], result["name"]) == (2, "0", "label")
    assert result["payload_bytes"] > 0
    assert [entry for entry in shown["entries"] if "payload" in entry] == []
    assert canary not in ran.out


def test_reveal_warns_and_then_shows(durable: Durable, journal: Written, canary: str) -> None:
    arguments = ("show", journal.ids[0], "--reveal")
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable(*arguments, **environment)
    assert ran.code == 0
    assert ran.err.startswith("warning: plaintext follows")
    assert f"2 step_result, value: 'label of {canary}'" in ran.out
    shown = json.loads(durable(*arguments, "--json", **environment).out)
    assert [entry["payload"] for entry in shown["entries"]] == [
        [canary],
        f"label of {canary}",
        f"label of {canary}",
    ]


@pytest.mark.parametrize(
    "command", [["verify"], ["show", "--reveal", "{id}"], ["inspect", "--reveal", "{id}"]]
)
def test_without_a_key_the_rest_refuses(
    durable: Durable,
    journal: Written,
    command: list[str],
) -> None:
    arguments = [word.format(id=journal.ids[0]) for word in command]
    durable(*arguments, DURABLE_URL=journal.url).require_error("DURABLE_KEY")


def test_verify_counts_and_condenses(durable: Durable, journal: Written) -> None:
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable("verify", "--json", **environment)
    assert (ran.code, ran.err) == (0, "")
    report = json.loads(ran.out)
    assert (report["executions"], report["entries"], report["unstamped"]) == (3, 9, 0)
    again = durable("verify", "--expect", report["digest"].upper(), **environment)
    assert (again.code, again.err) == (0, "")
    assert report["digest"] in again.out
    one = json.loads(durable("verify", journal.ids[0], "--json", **environment).out)
    assert (one["executions"], one["entries"]) == (1, 3)


def test_verify_refuses_another_digest(durable: Durable, journal: Written) -> None:
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable("verify", "--expect", "0" * 64, **environment)
    assert ran.code == 1
    ran.require_line("digest", "not the expected one")


@pytest.mark.parametrize("word", ["abc", "0" * 63, "g" * 64, ""])
def test_verify_refuses_what_is_no_digest(durable: Durable, journal: Written, word: str) -> None:
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable("verify", "--expect", word, **environment)
    assert (ran.code, ran.out) == (2, "")
    assert "64 hexadecimal digits" in " ".join(ran.err.split())


def test_list_marks_an_altered_row_and_shows_the_others(
    durable: Durable,
    journal: Written,
) -> None:
    edit(
        journal.path,
        "UPDATE durable_executions SET status = 'failed' WHERE execution_key = 'parcel-1'",
    )
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable("list", **environment)
    assert ran.code == 1
    ran.require_line("DAMAGED: 1;", "changed outside durable-core")
    marks = [line.split()[-1] for line in ran.out.splitlines()[1:]]
    assert marks == ["verified", "DAMAGED", "verified"]
    ran = durable("list", "--json", **environment)
    assert ran.code == 1
    assert [(row["verified"], row["check"]) for row in json.loads(ran.out)] == [
        (True, "verified"),
        (False, "damaged"),
        (True, "verified"),
    ]


STRIP = """
    UPDATE durable_executions SET key_id = NULL, sealed = 0, stamped = 0, head_hmac = NULL,
        anchor_mac = NULL WHERE execution_key = 'parcel-1'
"""


def test_an_execution_without_stamps_is_listed_and_refused(
    durable: Durable,
    journal: Written,
) -> None:
    edit(journal.path, STRIP)
    edit(journal.path, "UPDATE durable_journal SET hmac = NULL, payload = x'00f6'")
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    ran = durable("list", **environment)
    assert ran.code == 0
    assert [line.split()[-1] for line in ran.out.splitlines()[1:]] == [
        "verified",
        "unverified",
        "verified",
    ]
    assert ran.err.startswith("unstamped: ")
    assert "DURABLE_KEY" not in ran.err
    (stripped,) = [
        row["execution_id"]
        for row in json.loads(durable("list", "--json", **environment).out)
        if row["check"] == "unstamped"
    ]
    shown = durable("show", stripped, **environment)
    assert (shown.code, shown.err) == (0, ran.err)
    for refused in (["show", stripped, "--reveal"], ["verify", stripped]):
        durable(*refused, **environment).require_error("no stamps", "accept_unstamped")
    accepting = environment | {"DURABLE_ACCEPT_UNSTAMPED": "true"}
    report = json.loads(durable("verify", stripped, "--json", **accepting).out)
    assert (report["executions"], report["unstamped"]) == (1, 1)


@pytest.mark.parametrize("command", [["show", "{id}"], ["inspect", "{id}"], ["verify"]])
def test_an_altered_row_is_found(durable: Durable, journal: Written, command: list[str]) -> None:
    edit(journal.path, "UPDATE durable_executions SET status = 'failed'")
    arguments = [word.format(id=journal.ids[0]) for word in command]
    ran = durable(*arguments, DURABLE_URL=journal.url, DURABLE_KEY=journal.key)
    ran.require_error("changed outside durable-core")


@pytest.mark.parametrize(
    "command", [["show", "{id}"], ["inspect", "{id}"], ["verify"], ["verify", "{id}"]]
)
def test_a_lost_entry_is_found(durable: Durable, journal: Written, command: list[str]) -> None:
    edit(journal.path, "DELETE FROM durable_journal WHERE entry_no = 2")
    arguments = [word.format(id=journal.ids[0]) for word in command]
    ran = durable(*arguments, DURABLE_URL=journal.url, DURABLE_KEY=journal.key)
    ran.require_error("entry 2", "missing")


def test_a_new_key_id_is_not_stored_by_reading(durable: Durable, journal: Written) -> None:
    newer = f"2:{journal.key_bytes}"
    ran = durable("verify", DURABLE_URL=journal.url, DURABLE_KEY=f"{newer},{journal.key}")
    assert ran.code == 0
    with closing(sqlite3.connect(journal.path)) as connection:
        assert connection.execute("SELECT key_id FROM durable_keys").fetchall() == [(1,)]


def test_reading_changes_nothing(durable: Durable, journal: Written) -> None:
    before = digest_of(journal.path)
    environment = {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}
    for command in (["list"], ["show", journal.ids[0]], ["inspect", journal.ids[0]], ["verify"]):
        assert durable(*command, **environment).code == 0
    assert digest_of(journal.path) == before
    assert sorted(path.name for path in journal.path.parent.iterdir()) == [
        journal.path.name,
        f"{journal.path.name}.owners",
    ]


async def test_works_beside_a_running_engine(durable: Durable, journal: Written) -> None:
    config = DurableConfig()
    async with DurableEngine.open(journal.url, config=config, keys=journal.key) as engine:
        for run, command in (
            (durable.alone, ["list"]),
            (durable, ["show", journal.ids[0]]),
            (durable, ["inspect", journal.ids[0]]),
            (durable, ["verify"]),
        ):
            ran = await asyncio.to_thread(run, *command, **journal.environment)
            assert (ran.code, ran.err) == (0, "")
        report = await engine.verify(ExecutionId(journal.ids[0]))
        assert report.entries == 3


def test_a_reader_that_closes_the_pipe_is_no_error(journal: Written) -> None:
    command = [sys.executable, "-m", "durable_cli", "--url", journal.url, "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
