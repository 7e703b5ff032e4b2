"""`durable inspect`: who has an execution, what it waits for, how it ended; redacted or not."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Durable, Shop, Written


def inspected(durable: Durable, journal: Written, *options: str) -> dict[str, Any]:
    ran = durable("inspect", journal.ids[0], "--json", *options, **journal.environment)
    assert ran.code == 0, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def lines(text: str) -> dict[str, str]:
    """The fields on top, by their names."""
    top = text.partition("\n\n")[0]
    return {line[:12].strip(): line[12:] for line in top.splitlines()}


def test_one_that_has_ended(durable: Durable, journal: Written, canary: str) -> None:
    ran = durable("inspect", journal.ids[0], **journal.environment)
    assert (ran.code, ran.err) == (0, "")
    fields = lines(ran.out)
    assert fields["execution"] == journal.ids[0]
    assert (fields["workflow"], fields["key"], fields["status"]) == (
        "pack",
        "parcel-0",
        "completed",
    )
    assert fields["owner"].endswith(" (gone), epoch 1")
    assert (fields["written"], fields["checked"]) == ("key id 1, sealed, stamped", "verified")
    assert fields["outcome"].startswith("a value (")
    assert fields["waits for"] == "-"
    assert "step_result" in ran.out
    assert canary not in ran.out


def test_one_that_has_ended_in_json(durable: Durable, journal: Written, canary: str) -> None:
    found = inspected(durable, journal)
    assert (found["status"], found["verified"], found["key_id"]) == ("completed", True, 1)
    assert found["owner"]["state"] == "gone"
    assert [(one["kind"], one["entries"]) for one in found["kinds"]] == [
        ("execution_started", 1),
        ("step_result", 1),
        ("execution_finished", 1),
    ]
    assert found["payload_bytes"] > found["longest_payload"] > 0
    assert (found["waits_for"], found["commands"], found["open_intents"]) == (None, [], [])
    assert (found["outcome"]["error_type"], found["failed_steps"]) == (None, [])
    assert canary not in json.dumps(found)


def test_reveal_warns_and_shows_the_value(durable: Durable, journal: Written, canary: str) -> None:
    ran = durable("inspect", journal.ids[0], "--reveal", **journal.environment)
    assert ran.code == 0
    assert ran.err.startswith("warning: plaintext follows")
    assert lines(ran.out)["outcome"] == f"value: 'label of {canary}'"
    outcome = inspected(durable, journal, "--reveal")["outcome"]
    assert (outcome["meaning"], outcome["payload"]) == ("value", f"label of {canary}")


def test_without_the_key_it_says_unverified(durable: Durable, broken: Written) -> None:
    ran = durable("inspect", broken.ids[0], "--url", broken.url)
    assert ran.code == 0
    assert ran.err.startswith("unverified: ")
    fields = lines(ran.out)
    assert (fields["status"], fields["checked"]) == ("failed", "unverified")
    assert fields["outcome"].startswith("an error (")
    assert "ConnectionError" not in ran.out
    ran = durable("inspect", broken.ids[0], "--url", broken.url, "--json")
    found = json.loads(ran.out)
    assert (found["verified"], found["check"]) == (False, "no key")
    assert found["failed_steps"][0]["error_type"] is None


def test_a_failure_is_told_by_its_type(durable: Durable, broken: Written, canary: str) -> None:
    ran = durable("inspect", broken.ids[0], **broken.environment)
    assert (ran.code, ran.err) == (0, "")
    fields = lines(ran.out)
    assert fields["outcome"].startswith("StepFailed (")
    assert fields["waits for"] == "a resume, or nothing"
    assert f"\n\ndurable resume {broken.ids[0]}\n" in ran.out
    assert "ConnectionError" in ran.out
    assert canary not in ran.out
    (failed,) = inspected(durable, broken)["failed_steps"]
    assert (failed["name"], failed["error_type"], failed["attempts"]) == (
        "charge",
        "ConnectionError",
        1,
    )
    assert "message" not in failed


def test_reveal_shows_messages(durable: Durable, broken: Written, canary: str) -> None:
    ran = durable("inspect", broken.ids[0], "--reveal", **broken.environment)
    assert ran.err.startswith("warning: plaintext follows")
    assert ran.out.count(canary) == 2
    found = inspected(durable, broken, "--reveal")
    assert found["failed_steps"][0]["message"] == canary
    assert canary in found["outcome"]["payload"]["message"]


def test_each_command_that_it_names_settles_the_step(durable: Durable, blocked: Written) -> None:
    """As a shell takes it, JSON being the step's result."""
    ran = durable("inspect", blocked.ids[0], **blocked.environment)
    assert lines(ran.out)["waits for"] == "an operator's word on 1 guarded step(s)"
    found = inspected(durable, blocked)
    (intent,) = found["open_intents"]
    assert {name: intent[name] for name in ("name", "effect_class", "sub_class", "policy")} == {
        "name": "charge",
        "effect_class": "exactly_once_guarded",
        "sub_class": "money_moving",
        "policy": "fail",
    }
    commands = found["commands"]
    assert len(commands) == 3
    assert [command for command in commands if command not in ran.out.splitlines()] == []
    for command in commands:
        own = blocked.copied(Path(blocked.path.parent, command.split()[-1]))
        words = shlex.split(command.replace("JSON", "1"))
        assert words[0] == "durable"
        assert durable(*words[1:], **own.environment).code == 0


def test_requests_that_nobody_has_answered(durable: Durable, broken: Written) -> None:
    """Filed with an owner that is gone; this one's alone."""
    with closing(sqlite3.connect(broken.path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO durable_inbox SELECT execution_id, 'cancel', 'cancel', NULL, 7 "
            "FROM durable_executions"
        )
    (request,) = inspected(durable, broken)["requests"]
    assert request == {
        "kind": "cancel",
        "slot": "cancel",
        "created_at": "1970-01-01T00:00:00.007Z",
    }
    assert "cancel   cancel" in durable("inspect", broken.ids[0], **broken.environment).out


async def test_a_live_owner_and_an_effect_under_way(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    word = ("settle", blocked.ids[0], "0", "--did-not-run")
    assert (await asyncio.to_thread(durable, *word, **blocked.environment)).code == 0
    found = await asyncio.to_thread(inspected, durable, blocked)
    assert found["owner"]["state"] == "given up"
    assert found["waits_for"] == "an engine that has workflow 'order' and key id 1"
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, shop.path, "hold", blocked.url),
        env=os.environ | {"DURABLE_KEY": blocked.key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    async with asyncio.timeout(50):
        assert await program.stdout.readline() == b"holding\n"
        found = await asyncio.to_thread(inspected, durable, blocked)
        program.kill()
        await program.wait()
    assert (found["status"], found["owner"]["state"]) == ("running", "lives")
    assert [intent["name"] for intent in found["open_intents"]] == ["charge"]
    assert (found["waits_for"], found["commands"]) == (None, [])


@pytest.mark.parametrize("with_key", [True, False])
def test_a_detail_that_no_journal_writes_is_refused(
    durable: Durable, blocked: Written, *, with_key: bool
) -> None:
    with closing(sqlite3.connect(blocked.path, isolation_level=None)) as connection:
        connection.execute("UPDATE durable_journal SET detail = x'80' WHERE step_id <> ''")
    key = {"DURABLE_KEY": blocked.key} if with_key else {}
    ran = durable("inspect", blocked.ids[0], DURABLE_URL=blocked.url, **key)
    ran.require_error("changed outside" if with_key else "does not follow the format")
