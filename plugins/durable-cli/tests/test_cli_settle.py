"""`durable settle`: an operator's word, given with no application running and beside one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Durable, Shop, Written


def environment(blocked: Written) -> dict[str, str]:
    return {"DURABLE_URL": blocked.url, "DURABLE_KEY": blocked.key}


@pytest.mark.parametrize(
    ("word", "end"),
    [
        (["--ran", "--value", '"charged once"'], "charged once\n"),
        (["--did-not-run"], "charged 4200 anew\n"),
    ],
    ids=["ran", "did not run"],
)
def test_a_word_lets_the_work_go_on(
    durable: Durable,
    blocked: Written,
    shop: Shop,
    word: list[str],
    end: str,
) -> None:
    ran = durable("settle", blocked.ids[0], "0", *word, **environment(blocked))
    assert (ran.code, ran.err) == (0, "")
    assert "running" in ran.out
    shown = durable("show", blocked.ids[0], **environment(blocked))
    assert "intent_settled" in shown.out
    assert shop("resume", blocked.url, blocked.key).out == end


def test_settling_in_json(durable: Durable, blocked: Written) -> None:
    word = ("settle", blocked.ids[0], "0", "--did-not-run", "--json")
    ran = durable(*word, **environment(blocked))
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "execution_id": blocked.ids[0],
        "step_id": "0",
        "word": "did not run",
        "status": "running",
        "asked_owner": False,
    }


def test_a_value_is_read_from_stdin(durable: Durable, blocked: Written, shop: Shop) -> None:
    arguments = ("settle", blocked.ids[0], "0", "--ran", "--value", "-")
    ran = durable.fed('"charged once"\n', *arguments, **environment(blocked))
    assert (ran.code, ran.err) == (0, "")
    assert shop("resume", blocked.url, blocked.key).out == "charged once\n"


def test_an_abandoned_execution_is_cancelled(
    durable: Durable,
    blocked: Written,
    shop: Shop,
) -> None:
    ran = durable("settle", blocked.ids[0], "0", "--abandon", **environment(blocked))
    assert (ran.code, ran.err) == (0, "")
    assert "cancelled" in ran.out
    end = shop("resume", blocked.url, blocked.key).out
    assert end == f"ExecutionCancelled {blocked.ids[0]}\n"


@pytest.mark.parametrize("word", [["--did-not-run"], ["--abandon"], ["--ran", "--value", "1"]])
def test_a_wrong_step_is_refused(durable: Durable, blocked: Written, word: list[str]) -> None:
    ran = durable("settle", blocked.ids[0], "7", *word, **environment(blocked))
    ran.require_error("no word on step '7'", "waits for: 0")
    assert "blocked" in durable("list", **environment(blocked)).out


def test_a_second_word_is_refused(durable: Durable, blocked: Written) -> None:
    arguments = ("settle", blocked.ids[0], "0", "--did-not-run")
    assert durable(*arguments, **environment(blocked)).code == 0
    durable(*arguments, **environment(blocked)).require_error("is running")


def test_a_finished_execution_waits_for_no_word(durable: Durable, journal: Written) -> None:
    arguments = ("settle", journal.ids[0], "0", "--abandon")
    durable(*arguments, **environment(journal)).require_error("is completed")


def test_settling_needs_the_key(durable: Durable, blocked: Written) -> None:
    ran = durable("settle", blocked.ids[0], "0", "--abandon", DURABLE_URL=blocked.url)
    ran.require_error("DURABLE_KEY")


def test_what_was_written_without_a_key_is_settled_without_one(
    durable: Durable, shop: Shop, plain: Written
) -> None:
    word = ("settle", plain.ids[0], "0", "--ran", "--value", '"charged once"')
    ran = durable(*word, "--url", plain.url)
    assert (ran.code, ran.err) == (0, "")
    end = shop("resume", plain.url, "", DURABLE_ENCRYPT_PAYLOAD="false").out
    assert end == "charged once\n"


async def test_a_live_owner_is_told(durable: Durable, blocked: Written, shop: Shop) -> None:
    """The program has the execution and keeps running; the word reaches it, and it goes on."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        shop.path,
        "wait",
        blocked.url,
        env=os.environ | {"DURABLE_KEY": blocked.key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    async with asyncio.timeout(50):
        assert await program.stdout.readline() == b"open\n"
        arguments = ("settle", blocked.ids[0], "0", "--ran", "--value", '"charged once"')
        ran = await asyncio.to_thread(durable.beside, *arguments, **environment(blocked))
        assert (ran.code, ran.err) == (0, "")
        end, _ = await program.communicate()
    assert end == b"charged once\n"


def test_the_value_stays_sealed(durable: Durable, blocked: Written, canary: str) -> None:
    arguments = ("settle", blocked.ids[0], "0", "--ran", "--value", f'"{canary}"')
    ran = durable(*arguments, **environment(blocked))
    assert canary not in ran.out + ran.err
    beside = blocked.path.parent.glob(f"{blocked.path.name}*")
    content = b"".join(file.read_bytes() for file in beside if Path(file).is_file())
    assert content
    assert canary.encode() not in content
