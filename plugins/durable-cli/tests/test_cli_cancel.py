"""`durable cancel`: at once where nobody has the execution, by a request to a live owner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Durable, Shop, Written


def test_one_without_an_owner_is_cancelled_at_once(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    ran = durable("cancel", blocked.ids[0], **blocked.environment)
    assert (ran.code, ran.err) == (0, "")
    assert "had no live owner and was cancelled at once" in ran.out
    assert "the execution is cancelled" in ran.out
    end = shop("resume", blocked.url, blocked.key).out
    assert end == f"ExecutionCancelled {blocked.ids[0]}\n"
    ran = durable("verify", blocked.ids[0], **blocked.environment)
    assert ran.code == 0


def test_in_json_and_with_a_wait(durable: Durable, blocked: Written) -> None:
    command = ("cancel", blocked.ids[0], "--json", "--wait", "5")
    ran = durable(*command, **blocked.environment)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "execution_id": blocked.ids[0],
        "status": "cancelled",
        "asked_owner": False,
    }


async def test_a_live_owner_is_asked_and_waited_for(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    """Its guarded effect is finished first, and that takes until it is woken."""
    word = ("settle", blocked.ids[0], "0", "--did-not-run")
    assert (await asyncio.to_thread(durable, *word, **blocked.environment)).code == 0
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, shop.path, "hold", blocked.url),
        env=os.environ | {"DURABLE_KEY": blocked.key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    cancel = ("cancel", blocked.ids[0])
    async with asyncio.timeout(50):
        assert await program.stdout.readline() == b"holding\n"
        patient = (*cancel, "--wait", "40", "--json")
        waiting = asyncio.create_task(asyncio.to_thread(durable, *patient, **blocked.environment))
        while not await asyncio.to_thread(asks, durable, blocked):
            pass
        hasty = (*cancel, "--wait", "1")
        late = await asyncio.to_thread(durable.beside, *hasty, **blocked.environment)
        late.require_error("is running after 1 s", "the request stays with its owner")
        program.send_signal(signal.SIGCONT)
        ended = await waiting
        end, _ = await program.communicate()
    assert end == f"ExecutionCancelled {blocked.ids[0]}\n".encode()
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "execution_id": blocked.ids[0],
        "status": "cancelled",
        "asked_owner": True,
    }


async def test_an_owner_that_dies_while_it_is_waited_for(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    word = ("settle", blocked.ids[0], "0", "--did-not-run")
    assert (await asyncio.to_thread(durable, *word, **blocked.environment)).code == 0
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, shop.path, "hold", blocked.url),
        env=os.environ | {"DURABLE_KEY": blocked.key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    async with asyncio.timeout(50):
        assert await program.stdout.readline() == b"holding\n"
        program.send_signal(signal.SIGSTOP)
        cancel = ("cancel", blocked.ids[0], "--wait", "40")
        waiting = asyncio.create_task(asyncio.to_thread(durable, *cancel, **blocked.environment))
        while not await asyncio.to_thread(asks, durable, blocked):
            pass
        program.kill()
        await program.wait()
        ended = await waiting
    assert (ended.code, ended.err) == (0, "")
    assert "the execution is cancelled" in ended.out


def asks(durable: Durable, journal: Written) -> bool:
    """Whether a request waits for the owner. In a process of its own, beside a command here."""
    ran = durable.beside("inspect", journal.ids[0], "--json", **journal.environment)
    return bool(json.loads(ran.out)["requests"])


@pytest.mark.parametrize("options", [[], ["--wait", "1"], ["--json"]])
def test_what_has_ended_is_not_cancelled(
    durable: Durable, journal: Written, options: list[str]
) -> None:
    ran = durable("cancel", journal.ids[0], *options, **journal.environment)
    ran.require_error("is completed already")


def test_cancelling_needs_the_key(durable: Durable, blocked: Written) -> None:
    durable("cancel", blocked.ids[0], DURABLE_URL=blocked.url).require_error("DURABLE_KEY")


def test_what_was_written_without_a_key_is_cancelled_without_one(
    durable: Durable, plain: Written
) -> None:
    ran = durable("cancel", plain.ids[0], "--url", plain.url)
    assert (ran.code, ran.err) == (0, "")
