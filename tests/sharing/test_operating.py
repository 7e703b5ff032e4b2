"""An operator's commands, each in a process of its own, beside the owners of executions and alone.

The same on every database. What the commands print is tested with their plugin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve, frozen

from tests.unit.engine.processes import Child, child

pytestmark = pytest.mark.dialects
APP = Path(__file__).with_name("operated.py")


@frozen
class Operator:
    """Runs `durable`; its database is `url` unless the arguments name another."""

    url: str
    key: str
    settings: Mapping[str, str] = MappingProxyType({})

    async def __call__(self, *arguments: str) -> Any:
        """What the command prints in JSON."""
        code, out, err = await self.run(*arguments, "--json")
        assert (code, err) == (0, ""), err
        return json.loads(out)

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "durable_cli", *arguments),
            env={
                "DURABLE_KEY": self.key,
                "DURABLE_URL": self.url,
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(APP.parent),
                **self.settings,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def durable(url: str, key: str) -> Operator:
    return Operator(url, key)


async def started(owner: Child) -> str:
    execution_id = await owner.says("started")
    await owner.says("holding")
    return execution_id


async def test_one_runs_waits_for_a_word_and_is_settled(durable: Operator, url: str) -> None:
    """Looked at while its owner lives, while it is blocked, and when it has ended."""
    async with child("own", url, "guarded", 1) as owner:
        execution_id = await started(owner)
        found = await durable("inspect", execution_id)
        assert (found["status"], found["owner"]["state"]) == ("running", "lives")
        assert [one["name"] for one in found["open_intents"]] == ["second"]
        await owner.kill()
    assert (await durable("inspect", execution_id))["owner"]["state"] == "gone"
    async with child("own", url, "guarded", 1) as owner:
        assert await owner.says("ended") == "AmbiguousEffect"
        found = await durable("inspect", execution_id)
        assert (found["status"], len(found["commands"])) == ("blocked", 3)
        _, _, refused = await durable.run("resume", execution_id)
        assert "waits for a word on guarded step 1 'second'" in refused
        word = ("settle", execution_id, "1", "--ran", "--value", '"by hand"')
        assert (await durable(*word))["asked_owner"] is True
        assert await owner.says("last") == "1"
        code, out, err = await durable.run("show", execution_id, "--reveal")
    assert code == 0, err
    assert "by hand" in out


async def test_a_cancel_reaches_a_live_owner(durable: Operator, url: str) -> None:
    async with child("own", url, "alone", 1) as owner:
        execution_id = await started(owner)
        assert (await durable("cancel", execution_id))["asked_owner"] is True
        assert await owner.says("ended") == "ExecutionCancelled"
        while (await durable("inspect", execution_id))["requests"]:
            pass


async def test_a_dead_owner_is_not_asked(durable: Operator, url: str) -> None:
    async with child("own", url, "alone", 1) as owner:
        execution_id = await started(owner)
        await owner.kill()
        told = await durable("cancel", execution_id, "--wait", "20")
        assert (told["status"], told["asked_owner"]) == ("cancelled", False)
    code, _, said = await durable.run("cancel", execution_id)
    assert (code, "is cancelled already" in said) == (1, True)


async def test_a_failed_one_is_resumed_by_its_owner(durable: Operator, url: str) -> None:
    async with child("fail", url, program=APP) as owner:
        execution_id = await owner.says("failed")
        told = await durable("resume", execution_id)
        assert told["asked_owner"] is True
        assert await owner.says("result") == "good"
    found = await durable("inspect", execution_id)
    assert (found["status"], found["generation"]) == ("completed", 1)
    assert [one["error_type"] for one in found["failed_steps"]] == ["LookupError"]


async def test_a_failed_one_is_given_up_and_run_here(durable: Operator, url: str) -> None:
    """First for whoever has its workflow; then by a command that has it."""
    async with child("fail", url, program=APP) as owner:
        execution_id = await owner.says("failed")
        await owner.kill()
    told = await durable("resume", execution_id)
    assert (told["status"], told["generation"], told["asked_owner"]) == ("running", 1, False)
    assert (await durable("inspect", execution_id))["owner"]["state"] == "given up"
    told = await durable("resume", execution_id, "--app", "operated:WORKFLOWS")
    assert (told["status"], told["generation"]) == ("completed", 1)


async def test_ec_39_what_has_ended_is_pruned_beside_a_live_owner(
    durable: Operator, url: str
) -> None:
    async with child("own", url, "alone", 1) as owner, child("fail", url, program=APP) as failing:
        running, failed = await started(owner), await failing.says("failed")
        await failing.kill()
        assert (await durable("prune"))["executions"] == []
        pruner = evolve(durable, settings={"DURABLE_RETENTION_TTL_FAILED_SECS": "0"})
        said, done = await pruner("prune", "--dry-run"), await pruner("prune")
        assert done == said | {"dry_run": False}
        assert [one["execution_id"] for one in done["executions"]] == [failed]
        assert [one["execution_id"] for one in await durable("list")] == [running]
        assert (await durable("verify"))["executions"] == 1


@pytest.mark.postgres
@pytest.mark.parametrize(
    "command", ["list", "inspect", "settle", "cancel", "resume", "claim", "prune"]
)
async def test_a_server_that_cannot_be_reached_is_one_line(durable: Operator, command: str) -> None:
    url = "postgres://clerk:canary-7f3a91@127.0.0.1:9/orders"
    execution = () if command in {"list", "prune"} else ("01a20ca2-ca07-70a8-a1b4-ffe4c2bf266e",)
    word = ("0", "--did-not-run") if command == "settle" else ()
    code, out, err = await durable.run("--url", url, command, *execution, *word)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "canary" not in err
