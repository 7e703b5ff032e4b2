"""Bad input: each is a clear error that says what to do, and nothing is half-written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, workflow
from durable_core.errors import (
    ConfigError,
    DecodeError,
    DurableError,
    ExecutionError,
    ExecutionNotFound,
    ExecutionTerminal,
    KeyConflict,
    PluginNotFound,
    SchemaTooNew,
)
from durable_core.ids import RandomIds
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.journals import OTHER_MASTER, change, key_text, path_of


@workflow
async def double(ctx: DurableContext, number: int) -> int:
    del ctx
    return number * 2


async def refused(url: str | None, **settings: Any) -> DurableError:
    settings.setdefault("keys", key_text((1, bytes(32))))
    with pytest.raises(DurableError) as raised:
        async with DurableEngine.open(url, workflows=[double], **settings):
            pass
    return raised.value


@pytest.mark.parametrize(
    ("url", "kind", "advice"),
    [
        (None, ConfigError, "pass a URL such as sqlite:///"),
        ("orders.db", ConfigError, "is no database URL"),
        ("sqlite:/orders.db", ConfigError, "sqlite"),
        ("sqlite://host/orders.db", ConfigError, "sqlite:///"),
        ("mysql://root:hunter2@host/db", PluginNotFound, "mysql"),
        ("sqlite:////proc/nowhere/orders.db", DurableError, "nowhere"),
        ("sqlite:////proc/orders.db", DurableError, "/proc"),
    ],
)
async def test_a_wrong_url_is_refused_without_its_password(
    url: str | None,
    kind: type[DurableError],
    advice: str,
) -> None:
    error = await refused(url)
    assert isinstance(error, kind)
    assert advice in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "1:AAAA",
        "nonsense",
        "0:" + "A" * 43,
        "1:" + "!" * 43,
        "1:" + "A" * 43 + ",1:" + "B" * 43,
    ],
)
async def test_an_unusable_key_is_refused_without_being_shown(url: str, keys: str) -> None:
    error = await refused(url, keys=keys)
    assert isinstance(error, ConfigError)
    assert "A" * 8 not in str(error)
    assert not path_of(url).exists()


async def test_other_bytes_under_a_known_key_id_are_refused(
    url: str,
    open_engine: OpenEngine,
) -> None:
    async with open_engine(double) as engine:
        await engine.run(double, 1, key="k")
    error = await refused(url, keys=key_text((1, OTHER_MASTER)))
    assert isinstance(error, ConfigError)
    assert "key id 1" in str(error)


async def test_a_database_of_another_application_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.commit()
    before = path.read_bytes()
    error = await refused(f"sqlite:///{path}")
    assert isinstance(error, ConfigError)
    assert "not a journal" in str(error)
    assert path.read_bytes() == before


async def test_a_newer_schema_is_refused(url: str, open_engine: OpenEngine) -> None:
    async with open_engine(double):
        pass
    change(path_of(url), "INSERT INTO durable_schema (version, applied_at) VALUES (999, 0)")
    error = await refused(url)
    assert isinstance(error, SchemaTooNew)
    assert "999" in str(error)


async def test_an_unknown_setting_names_the_nearest_legal_one(tmp_path: Path, url: str) -> None:
    (tmp_path / "durable.toml").write_text("[durable]\njournal_batch_limt = 5\n")
    error = await refused(url)
    assert isinstance(error, ConfigError)
    assert "journal_batch_limit" in str(error)


async def test_an_unknown_cipher_names_what_there_is(url: str) -> None:
    error = await refused(url, config=DurableConfig(cipher="rot13"))
    assert isinstance(error, PluginNotFound)
    assert "xaes-256-gcm" in str(error)


def test_a_workflow_must_be_async_and_take_a_context() -> None:
    with pytest.raises(ConfigError, match="async def"):
        workflow(lambda ctx: ctx)  # type: ignore[arg-type, return-value]

    def plain(ctx: DurableContext) -> int:
        return id(ctx)

    with pytest.raises(ConfigError, match=r"'.*plain' must be an `async def`"):
        workflow(plain)  # type: ignore[arg-type]

    async def alone() -> None:
        return None

    with pytest.raises(ConfigError, match="take the context first"):
        workflow(alone)  # type: ignore[arg-type]


async def test_two_workflows_of_one_name_and_what_is_none_are_refused(url: str) -> None:
    @workflow(name=double.name)
    async def other(ctx: DurableContext) -> None:
        del ctx

    keys = key_text((1, bytes(32)))
    with pytest.raises(ConfigError, match="two workflows are named"):
        async with DurableEngine.open(url, workflows=[double, other], keys=keys):
            pass
    with pytest.raises(ConfigError, match="decorate"):
        async with DurableEngine.open(url, workflows=[sorted], keys=keys):  # type: ignore[list-item]
            pass
    assert not path_of(url).exists()


async def test_starting_what_cannot_be_started_writes_nothing(open_engine: OpenEngine) -> None:
    @workflow
    async def unregistered(ctx: DurableContext) -> None:
        del ctx

    @workflow(name=double.name)
    async def impostor(ctx: DurableContext) -> None:
        del ctx

    async with open_engine(double) as engine:
        with pytest.raises(ConfigError, match="not registered"):
            await engine.start(unregistered)
        with pytest.raises(ConfigError, match="another workflow is registered"):
            await engine.start(impostor)
        with pytest.raises(ConfigError, match="not a workflow"):
            await engine.start(sorted)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await engine.start(double)
        with pytest.raises(DecodeError, match="argument 'number'"):
            await engine.start(double, "two")
        with pytest.raises(ConfigError, match="empty"):
            await engine.start(double, 2, key="")
        assert await engine.list() == []


async def test_one_key_with_other_arguments_is_loud(open_engine: OpenEngine) -> None:
    async with open_engine(double) as engine:
        assert await engine.run(double, 2, key="k") == 4
        with pytest.raises(KeyConflict, match="other arguments"):
            await engine.start(double, 3, key="k")
        existing = await engine.start(double, 3, key="k", on_conflict="existing")
        assert await existing.result() == 4
        assert len(await engine.list()) == 1


async def test_a_workflow_whose_result_cannot_be_journaled_fails(open_engine: OpenEngine) -> None:
    @workflow
    async def wrong(ctx: DurableContext) -> int:
        del ctx
        return "text"  # type: ignore[return-value]

    async with open_engine(wrong) as engine:
        handle = await engine.start(wrong)
        with pytest.raises(DurableError) as failed:
            await handle.result()
        assert isinstance(failed.value.__cause__, DecodeError)
        assert await handle.status() is Status.FAILED


async def test_questions_about_executions_that_are_not_there(open_engine: OpenEngine) -> None:
    unknown = RandomIds().execution_id()
    async with open_engine(double) as engine:
        for question in (
            engine.get(unknown),
            engine.get((double, "nobody")),
            engine.cancel(unknown),
            engine.resume(unknown),
            engine.settle(unknown, "0", ran=False),
            engine.verify(unknown),
        ):
            with pytest.raises(ExecutionNotFound):
                await question
        with pytest.raises(ConfigError, match="running, blocked, completed"):
            await engine.list(status="sleeping")


async def test_what_has_ended_is_neither_cancelled_resumed_nor_settled(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(double) as engine:
        handle = await engine.start(double, 2)
        await handle.result()
        with pytest.raises(ExecutionTerminal, match="completed already"):
            await handle.cancel()
        with pytest.raises(ExecutionTerminal, match="completed already"):
            await engine.resume(handle.id)
        with pytest.raises(ExecutionError, match="not blocked"):
            await engine.settle(handle.id, "0", ran=True, value=1)


async def test_a_closed_engine_refuses(open_engine: OpenEngine) -> None:
    async with open_engine(double) as engine:
        pass
    with pytest.raises(ExecutionError, match="closed"):
        await engine.start(double, 1)
