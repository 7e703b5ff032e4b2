"""The search for secrets finds them, and no value of the library shows what it carries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from durable_core import (
    DurableContext,
    step,
    workflow,
)
from durable_core.engine.ambiguity import Resolved
from durable_core.engine.invoke import Failed, Returned
from durable_core.engine.outcome import Failure
from durable_core.engine.outcome import Outcome as RunOutcome
from durable_core.errors import (
    ConfigError,
    DecodeError,
    ExecutionFailed,
    StepFailed,
)
from durable_core.ids import NO_STEP
from durable_core.model.entries import (
    ExecutionFinished,
    ExecutionStarted,
    IntentSettled,
    Outcome,
)
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.journals import (
    MASTER,
    counted_id,
    failure_of,
    result_of,
)
from tests.leaks import CANARY, Evidence, collecting


@step
async def echo(text: str) -> str:
    return f"{text}!"


class Refusal(Exception):
    """An error of user code, whose message holds what it should not."""


CANARY_BYTES = CANARY.encode()


EXECUTION = counted_id(1)


@pytest.mark.parametrize(
    "value",
    [
        ExecutionStarted(EXECUTION, 0, CANARY_BYTES),
        result_of(EXECUTION, 0, CANARY_BYTES),
        failure_of(EXECUTION, 0, CANARY_BYTES),
        IntentSettled(EXECUTION, 0, NO_STEP, b"", b"", 3, CANARY_BYTES),
        ExecutionFinished(EXECUTION, 0, Status.COMPLETED, CANARY_BYTES),
        Returned(CANARY_BYTES, CANARY),
        Failed(Failure("Refusal", CANARY, 1), Refusal(CANARY)),
        Resolved(Outcome.VALUE, CANARY_BYTES),
        Failure("Refusal", CANARY, 1),
        RunOutcome(CANARY, Refusal(CANARY)),
        StepFailed("echo", "Refusal", CANARY),
        ExecutionFailed("Refusal", CANARY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ec_27_no_value_of_the_library_shows_what_it_carries(value: object) -> None:
    assert CANARY not in repr(value)
    assert CANARY not in f"{value}"


def leaking() -> list[Callable[[Evidence], Coroutine[Any, Any, None]]]:
    """Leaks of every sort, so that the search itself is known to find them."""

    async def in_a_record(_: Evidence) -> None:
        logging.getLogger("somebody").debug("said %s", CANARY)

    async def in_an_error(evidence: Evidence) -> None:
        error = ConfigError("outer")
        error.__cause__ = DecodeError(CANARY)
        evidence.error(error)

    async def in_a_span(_: Evidence) -> None:
        with trace.get_tracer_provider().get_tracer("somebody").start_as_current_span("x") as span:
            span.set_attribute("text", CANARY)

    async def in_an_event(_: Evidence) -> None:
        with trace.get_tracer_provider().get_tracer("somebody").start_as_current_span("x") as span:
            span.record_exception(Refusal(CANARY))

    async def in_a_task(_: Evidence) -> None:
        async def value() -> str:
            return CANARY

        await asyncio.gather(asyncio.create_task(value()))

    async def in_a_file(evidence: Evidence) -> None:
        (evidence.folder / "journal.db-wal").write_bytes(b"\0" + MASTER)

    return [in_a_record, in_an_error, in_a_span, in_an_event, in_a_task, in_a_file]


@pytest.mark.parametrize("leak", leaking(), ids=lambda leak: leak.__name__)
async def test_the_search_finds_a_leak(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leak: Callable[[Evidence], Coroutine[Any, Any, None]],
) -> None:
    with collecting(tmp_path, monkeypatch) as collected:
        await leak(collected)
    collected.files("afterwards")
    assert collected.leaks() != []


async def test_the_search_finds_what_is_not_sealed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_engine: OpenEngine,
) -> None:
    """The same program without encryption: now the bytes on disk say it."""

    @workflow
    async def program(ctx: DurableContext, text: str) -> str:
        return await ctx.step(echo, text)

    with collecting(tmp_path, monkeypatch) as collected:
        async with open_engine(program, keys=None, encrypt_payload=False) as engine:
            await engine.run(program, CANARY)
            collected.files("while it is open")
    assert [leak for leak in collected.leaks() if "journal.db" in leak]
