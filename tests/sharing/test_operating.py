"""An operator's commands, each in a process of its own, beside the owners of executions and alone.

The same on every database. What the commands print is tested with their plugin.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sharing import operated
from tests.sharing.commanding import Operator
from tests.unit.engine.processes import Child, child

pytestmark = pytest.mark.dialects
APP = Path(operated.__file__)


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
        at_once = {"DURABLE_RETENTION_TTL_FAILED_SECS": "0"}
        said = await durable("prune", "--dry-run", **at_once)
        done = await durable("prune", **at_once)
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
