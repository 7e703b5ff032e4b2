"""`durable resume`: elsewhere, by a live owner, or here with the application's workflows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Durable, Ran, Shop, Written

APP = """
from durable_core import DurableContext, workflow


@workflow(name="order")
async def order(ctx: DurableContext, amount: int) -> str:
    print("printed by the application")
    {body}


@workflow(name="other")
async def other(ctx: DurableContext) -> None: ...


WORKFLOWS = [other, order]
ALONE = [other]
TWICE = [order, workflow(name="order")(order.fn)]
WORDS = "order"
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory; its `order` needs no step."""
    name = re.sub(r"\W", "_", f"kiosk_{tmp_path.name}")
    Path(tmp_path, f"{name}.py").write_text(APP.format(body='return "canary-7f3a91"'))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


def resumed(durable: Durable, journal: Written, *options: str) -> Ran:
    return durable("resume", journal.ids[0], *options, **journal.environment)


def test_a_failed_one_goes_on_where_its_workflow_is(
    durable: Durable, broken: Written, shop: Shop
) -> None:
    ran = resumed(durable, broken)
    assert (ran.code, ran.err) == (0, "")
    assert "runs again in whichever engine has workflow 'order'" in ran.out
    assert "the execution is running, generation 1" in ran.out
    assert shop("resume", broken.url, broken.key).out == "charged 4200 anew\n"


def test_in_json(durable: Durable, broken: Written) -> None:
    for _ in range(2):  # it waits for an engine already
        ran = resumed(durable, broken, "--json")
        assert (ran.code, ran.err) == (0, "")
        assert json.loads(ran.out) == {
            "execution_id": broken.ids[0],
            "status": "running",
            "generation": 1,
            "asked_owner": False,
        }


async def test_a_live_owner_is_asked(durable: Durable, tmp_path: Path, shop: Shop) -> None:
    key = "1:" + "A" * 43
    settings = {"DURABLE_URL": f"sqlite:///{tmp_path / 'stay.db'}", "DURABLE_KEY": key}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, shop.path, "stay", settings["DURABLE_URL"]),
        env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    async with asyncio.timeout(50):
        said = (await program.stdout.readline()).decode().split()
        assert said[0] == "ExecutionFailed"
        ran = await asyncio.to_thread(durable.beside, "resume", said[1], **settings)
        assert (ran.code, ran.err) == (0, "")
        assert f"the live owner of execution {said[1]} was asked to resume it" in ran.out
        end, _ = await program.communicate()
    assert end == b"charged 4200 anew\n"


def test_one_that_waits_for_a_word_is_refused(durable: Durable, blocked: Written) -> None:
    resumed(durable, blocked).require_error("word on guarded step 0 'charge'", "durable settle")


@pytest.mark.parametrize("which", ["", ":WORKFLOWS", ":order"])
def test_with_an_application_it_runs_here_to_its_end(
    durable: Durable, broken: Written, app: str, which: str
) -> None:
    ran = resumed(durable, broken, "--app", app + which)
    assert (ran.code, ran.err) == (0, "printed by the application\n")
    assert "the execution is completed, generation 1" in ran.out
    assert "outcome: a value (" in ran.out
    assert "canary" not in ran.out


def test_its_outcome_is_shown_when_it_is_revealed(
    durable: Durable, broken: Written, app: str
) -> None:
    """In a process of its own, with the module in its working directory."""
    options = ("--app", f"{app}:WORKFLOWS", "--reveal", "--json")
    ran = durable.beside("resume", broken.ids[0], *options, **broken.environment)
    assert ran.code == 0, ran
    assert ran.err.splitlines()[-1].startswith("warning: plaintext follows")
    shown = json.loads(ran.out)
    assert (shown["execution_id"], shown["status"]) == (broken.ids[0], "completed")
    assert (shown["outcome"]["meaning"], shown["outcome"]["payload"]) == ("value", "canary-7f3a91")


def test_one_that_fails_here_is_an_error(
    durable: Durable, broken: Written, app: str, canary: str, tmp_path: Path
) -> None:
    Path(tmp_path, f"{app}.py").write_text(APP.format(body=f'raise LookupError("{canary}")'))
    ran = resumed(durable, broken, "--app", app, "--json")
    assert ran.code == 1
    shown = json.loads(ran.out)
    assert (shown["status"], shown["outcome"]["error_type"]) == ("failed", "LookupError")
    assert ran.err.splitlines()[-1] == "error: the workflow failed with LookupError"
    assert canary not in ran.out + ran.err


def test_one_that_still_waits_for_a_word_says_so(
    durable: Durable, blocked: Written, shop: Shop
) -> None:
    path = {"PYTHONPATH": str(shop.path.parent)}
    ran = durable.beside("resume", blocked.ids[0], "--app", "shop", **blocked.environment, **path)
    assert ran.code == 1
    assert "the execution is blocked, generation 0" in ran.out
    ran.require_line("step 0 'charge'", "durable settle")


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (":ALONE", ["'order'", "does not have", "other"]),
        (":NOTHING", ["has no 'NOTHING'"]),
        (":WORDS", ["leads to no workflows"]),
        (":order.fn", ["leads to no workflows"]),
        (":TWICE", ["two workflows are named 'order'"]),
        (".deeper", ["cannot be imported", "deeper"]),
    ],
)
def test_an_application_without_the_workflow_is_refused(
    durable: Durable, broken: Written, app: str, which: str, words: list[str]
) -> None:
    resumed(durable, broken, "--app", app + which).require_error(*words)
    shown = durable("list", "--json", **broken.environment)
    assert json.loads(shown.out)[0]["status"] == "failed"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere_to_be_found", ["no module 'nowhere_to_be_found'"]),
        ('raise RuntimeError("canary-7f3a91")', ["RuntimeError", "line 1"]),
        ("\nraise SystemExit(0)", ["SystemExit", "line 2"]),
        ("canary = (", ["SyntaxError", "line 1"]),
        ("from durable_core import nothing", ["ImportError", "line 1"]),
        ("raise ModuleNotFoundError('canary-7f3a91')", ["ModuleNotFoundError", "line 1"]),
    ],
    ids=["missing", "raises", "exits", "syntax", "name", "without a name"],
)
def test_a_module_that_cannot_be_imported(
    durable: Durable, broken: Written, app: str, tmp_path: Path, source: str, words: list[str]
) -> None:
    Path(tmp_path, f"{app}.py").write_text(source)
    ran = resumed(durable, broken, "--app", app)
    ran.require_error(f"module '{app}' cannot be imported", *words)


def test_a_module_that_is_not_there(durable: Durable, broken: Written) -> None:
    resumed(durable, broken, "--app", "no_such_app").require_error("no module 'no_such_app'")


def test_what_has_ended_for_good_is_refused(durable: Durable, journal: Written) -> None:
    resumed(durable, journal).require_error("is completed already")


def test_with_an_application_too(durable: Durable, journal: Written, tmp_path: Path) -> None:
    Path(tmp_path, "packing_app.py").write_text(APP.replace('"other"', '"pack"').format(body="..."))
    command = ("resume", journal.ids[0], "--app", "packing_app")
    ran = durable.beside(*command, **journal.environment)
    ran.require_error("is completed already")


@pytest.mark.parametrize("options", [[], ["--app", "{app}"]])
def test_resuming_needs_the_key(
    durable: Durable, broken: Written, app: str, options: list[str]
) -> None:
    arguments = [word.format(app=app) for word in options]
    ran = durable("resume", broken.ids[0], *arguments, DURABLE_URL=broken.url)
    ran.require_error("DURABLE_KEY")


def test_what_was_written_without_a_key_is_resumed_without_one(
    durable: Durable, plain: Written, shop: Shop
) -> None:
    path = {"PYTHONPATH": str(shop.path.parent)}
    word = ("settle", plain.ids[0], "0", "--ran", "--value", '"charged once"', "--url", plain.url)
    assert durable(*word).code == 0
    ran = durable.beside("resume", plain.ids[0], "--app", "shop:order", "--url", plain.url, **path)
    assert (ran.code, ran.err) == (0, "")
    assert "the execution is completed" in ran.out
