"""`durable claim`: an execution changes hands, with no application running and beside one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Durable, Shop, Written


def environment(journal: Written) -> dict[str, str]:
    return {"DURABLE_URL": journal.url, "DURABLE_KEY": journal.key}


def status(durable: Durable, journal: Written) -> str:
    listed = durable("list", "--json", **environment(journal))
    return str(json.loads(listed.out)[0]["status"])


def test_a_dead_owner_loses_its_execution(durable: Durable, blocked: Written, shop: Shop) -> None:
    """A blocked one stays blocked, and an operator's word is heard all the same."""
    ran = durable("claim", blocked.ids[0], **environment(blocked))
    assert (ran.code, ran.err) == (0, "")
    assert f"execution {blocked.ids[0]} has no owner now" in ran.out
    ran = durable("claim", blocked.ids[0], "--json", **environment(blocked))
    assert json.loads(ran.out) == {"execution_id": blocked.ids[0], "claimed": True}
    assert status(durable, blocked) == "blocked"
    word = ("settle", blocked.ids[0], "0", "--ran", "--value", '"charged once"')
    assert durable(*word, **environment(blocked)).code == 0
    assert shop("resume", blocked.url, blocked.key).out == "charged once\n"


async def test_a_live_owner_loses_it_only_by_force(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    word = ("settle", blocked.ids[0], "0", "--did-not-run")
    settled = await asyncio.to_thread(durable, *word, **environment(blocked))
    assert settled.code == 0
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        shop.path,
        "hold",
        blocked.url,
        env=os.environ | {"DURABLE_KEY": blocked.key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    async with asyncio.timeout(50):
        assert await program.stdout.readline() == b"holding\n"
        program.send_signal(signal.SIGSTOP)
        claim = ("claim", blocked.ids[0])
        refused = await asyncio.to_thread(durable, *claim, **environment(blocked))
        refused.require_error("owned by a live engine")
        forced = await asyncio.to_thread(durable.beside, *claim, "--force", **environment(blocked))
        assert (forced.code, forced.err) == (0, "")
        shown = await asyncio.to_thread(durable, "show", *claim[1:], **environment(blocked))
        program.send_signal(signal.SIGCONT)
        end, _ = await program.communicate()
    assert end == f"ExecutionFenced {blocked.ids[0]}\n".encode()
    again = await asyncio.to_thread(durable, "show", *claim[1:], **environment(blocked))
    assert again == shown


def test_what_has_ended_cannot_be_claimed(durable: Durable, journal: Written) -> None:
    arguments = ("claim", journal.ids[0], "--force")
    durable(*arguments, **environment(journal)).require_error("is completed already")


def test_what_is_not_there_cannot_be_claimed(durable: Durable, journal: Written) -> None:
    arguments = ("claim", "0" * 32)
    durable(*arguments, **environment(journal)).require_error("no execution")


def test_claiming_needs_the_key(durable: Durable, blocked: Written) -> None:
    ran = durable("claim", blocked.ids[0], DURABLE_URL=blocked.url)
    ran.require_error("DURABLE_KEY")
