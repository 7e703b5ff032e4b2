"""How `show` and `inspect` tell of executions that continue each other, with a key and without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from durable_core import DurableConfig, DurableContext, DurableEngine, workflow
from durable_core.keysources import generate_key

if TYPE_CHECKING:
    from conftest import Durable, Written


@workflow(name="nightly")
async def nightly(ctx: DurableContext, night: int) -> int:
    return night if night == 1 else ctx.continue_as_new(night + 1)


async def continue_once(url: str, key: str) -> tuple[str, ...]:
    config = DurableConfig()
    async with DurableEngine.open(url, workflows=[nightly], config=config, keys=key) as engine:
        assert await engine.run(nightly, 0, key="k") == 1
        rows = await engine.list()
        return tuple([str((await engine.get(row.execution_id.hex())).id) for row in rows])


@pytest.fixture
def continued(journal: Written, tmp_path: Path) -> Written:
    """An execution, and the one that continues it."""
    path, key = tmp_path / "nights.db", generate_key()
    ids = asyncio.run(continue_once(f"sqlite:///{path}", key))
    return evolve(journal, path=path, key=key, ids=ids)


def test_show_names_the_neighbours(durable: Durable, continued: Written) -> None:
    first, second = continued.ids
    shown = durable("show", first, **continued.environment)
    assert (shown.code, shown.err) == (0, "")
    assert f"continued as {second}" in shown.out
    assert f"continues {first}" in durable("show", second, **continued.environment).out
    assert f"continues {first}" in durable("show", second, DURABLE_URL=continued.url).out
    told = json.loads(durable("show", first, "--json", **continued.environment).out)
    assert told["entries"][-1]["continued_as"] == second
    told = json.loads(durable("show", second, "--json", **continued.environment).out)
    assert told["entries"][0]["continues"] == first
    assert "continued_as" not in told["entries"][-1]


def test_show_reveals_who_goes_on(durable: Durable, continued: Written) -> None:
    shown = durable("show", continued.ids[0], "--reveal", "--json", **continued.environment)
    last = json.loads(shown.out)["entries"][-1]
    assert (last["meaning"], last["payload"]) == ("continued as", continued.ids[1])


@pytest.mark.parametrize("options", [(), ("--reveal",)])
def test_inspect_names_the_neighbours(
    durable: Durable, continued: Written, options: tuple[str, ...]
) -> None:
    first, second = continued.ids
    found = durable("inspect", first, *options, **continued.environment)
    assert f"outcome     continued as {second}" in found.out
    found = durable("inspect", second, *options, **continued.environment)
    assert f"continues   {first}" in found.out
    told = json.loads(durable("inspect", first, "--json", *options, **continued.environment).out)
    assert (told["continues"], told["outcome"]["continued_as"]) == (None, second)
    told = json.loads(durable("inspect", second, "--json", *options, **continued.environment).out)
    assert (told["continues"], told["outcome"]["continued_as"]) == (first, None)


def test_inspect_without_a_key_names_them_too(durable: Durable, continued: Written) -> None:
    found = durable("inspect", continued.ids[0], DURABLE_URL=continued.url)
    assert f"outcome     continued as {continued.ids[1]}" in found.out


def test_verify_accepts_a_key_that_has_moved(durable: Durable, continued: Written) -> None:
    assert durable("verify", **continued.environment).code == 0
    assert durable("verify", continued.ids[0], **continued.environment).code == 0
