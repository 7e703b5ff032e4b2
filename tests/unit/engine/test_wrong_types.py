"""Values of other types than a call declares: refused at once, by name, before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, RetryPolicy, step, workflow
from durable_core.errors import ConfigError, ExecutionNotFound
from tests.engines import OpenEngine


@workflow
async def double(ctx: DurableContext, number: int) -> int:
    del ctx
    return number * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": "3"},
        {"attempts": 1.5},
        {"initial": float("nan")},
        {"longest": float("inf")},
        {"jitter": None},
        {"retry_on": ValueError},
        {"retry_on": (BaseException,)},
    ],
)
def test_a_retry_policy_of_other_types_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="RetryPolicy wants"):
        RetryPolicy(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": 5}, "name must be"),
        ({"timeout": "3"}, "number of seconds"),
        ({"timeout": float("nan")}, "number of seconds"),
        ({"retry": 3}, "retry must be"),
        ({"safe_to_retry": (3,)}, "tuple of Exception classes"),
    ],
)
def test_a_step_of_other_types_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        step(**settings)(slow)


async def slow() -> None:
    raise AssertionError


async def test_calls_with_values_of_other_types_are_refused(
    url: str, open_engine: OpenEngine
) -> None:
    given: Any = 5
    for wrong in ({"workflows": double}, {"workflows": 3}, {"config": "x"}):
        arguments: Any = wrong
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            async with DurableEngine.open(url, **arguments):
                raise AssertionError
    async with open_engine(double) as engine:
        with pytest.raises(ConfigError, match="execution key is a text"):
            await engine.start(double, 2, key=given)
        with pytest.raises(ConfigError, match="execution id is a UUID or its text"):
            await engine.get(given)
        with pytest.raises(ExecutionNotFound, match="an id is a UUID"):
            await engine.cancel("no-id")


async def test_an_execution_id_may_be_given_as_text(open_engine: OpenEngine) -> None:
    async with open_engine(double) as engine:
        handle = await engine.start(double, 2, key="k")
        await handle.result()
        assert (await engine.get(str(handle.id))).key == "k"
        assert (await engine.verify(str(handle.id))).executions == 1
