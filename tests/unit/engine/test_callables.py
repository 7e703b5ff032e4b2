"""What may be a step: functions, methods, partials, lambdas, objects; and none is kept alive."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from durable_core import DurableContext, step
from durable_core.engine import StepDescriptor
from durable_core.errors import ConfigError
from tests.engines import OpenEngine
from tests.programs import version
from tests.unit.engine.replaying import live_and_replayed

EXPLICIT = StepDescriptor(name="explicit")


async def fetch(number: int) -> int:
    return number


def fetch_plainly(number: int) -> int:
    return number


class Service:
    """Its methods are steps; the object is no argument of theirs."""

    def __init__(self, name: str = "service") -> None:
        self.name = name

    @step
    async def declared(self, order: str = "none") -> str:
        return f"{self.name}: {order}"

    @step
    def declared_plainly(self, order: str) -> str:
        return f"{self.name}: {order}"

    async def undeclared(self, order: str) -> str:
        return f"{self.name}: {order}"

    @classmethod
    @step
    async def of_class(cls, order: str) -> str:
        return f"{cls.__name__}: {order}"

    @staticmethod
    @step
    async def of_nothing(order: str) -> str:
        return order


class Callee:
    async def __call__(self) -> int:
        return 5


@step
async def cls(order: str) -> str:
    return order


@step(name="owner")
async def of_owner(self: str) -> str:
    """No method: its first argument has a name like one, and is an argument."""
    return self


SERVICE = Service()
CASES: dict[str, tuple[Callable[[DurableContext], Any], object]] = {
    "run a partial": (lambda ctx: ctx.run(EXPLICIT, functools.partial(fetch, 1)), 1),
    "run a plain partial": (lambda ctx: ctx.run(EXPLICIT, functools.partial(fetch_plainly, 2)), 2),
    "run a lambda": (lambda ctx: ctx.run(EXPLICIT, lambda: 3), 3),
    "run a lambda to await": (lambda ctx: ctx.run(EXPLICIT, lambda: fetch(4)), 4),
    "run a bound method": (lambda ctx: ctx.run(EXPLICIT, SERVICE.declared), "service: none"),
    "run an object": (lambda ctx: ctx.run(EXPLICIT, Callee()), 5),
    "a bound method": (lambda ctx: ctx.step(SERVICE.declared, "6"), "service: 6"),
    "a plain bound method": (lambda ctx: ctx.step(SERVICE.declared_plainly, "7"), "service: 7"),
    "a method as it is": (lambda ctx: ctx.step(SERVICE.undeclared, "8"), "service: 8"),
    "a method that is called": (lambda _: SERVICE.declared("18"), "service: 18"),
    "a plain method that is called": (lambda _: SERVICE.declared_plainly("19"), "service: 19"),
    "a class method that is called": (lambda _: Service.of_class("20"), "Service: 20"),
    "a static method that is called": (lambda _: Service.of_nothing("21"), "21"),
    "a function whose name is that of an owner": (lambda _: cls("22"), "22"),
    "a function whose argument is named as an owner": (lambda _: of_owner("23"), "23"),
    "a class method": (lambda ctx: ctx.step(Service.of_class, "9"), "Service: 9"),
    "a static method": (lambda ctx: ctx.step(Service.of_nothing, "10"), "10"),
    "a named lambda": (lambda ctx: ctx.step(step(name="l")(lambda: fetch(14))), 14),
    "wait_for a step": (lambda ctx: asyncio.wait_for(ctx.step(fetch, 17), 10), 17),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_may_be_a_step(case: str, open_engine: OpenEngine) -> None:
    call, value = CASES[case]

    async def body(ctx: DurableContext) -> Any:
        return await call(ctx)

    assert await live_and_replayed(open_engine, body) == [value, value]


async def test_the_time_is_a_coroutine_like_any_step(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[str]:
        times = [*await asyncio.gather(ctx.now(), ctx.now()), await asyncio.wait_for(ctx.now(), 10)]
        return [time.isoformat() for time in times]

    live, replayed = await live_and_replayed(open_engine, body)
    assert isinstance(live, list)
    assert live == replayed


async def test_a_function_without_a_name_is_refused(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        with pytest.raises(ConfigError, match="needs a named function"):
            _ = ctx.step(functools.partial(fetch, 1))
        with pytest.raises(ConfigError, match="needs a named function"):
            _ = ctx.step(lambda: 1)
        return "refused"

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "refused"


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_a_step_stands_next_to_its_function(kind: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="stands below @classmethod"):
        step(kind(fetch))


async def test_each_object_is_called_and_none_is_part_of_its_step(open_engine: OpenEngine) -> None:
    """It is neither journaled nor compared: on replay there are other objects."""
    made: list[Service] = []

    async def body(ctx: DurableContext) -> list[str]:
        seen = []
        for _ in range(2):
            made.append(Service(f"service {len(made)}"))
            seen.append(await ctx.step(made[-1].undeclared, "x"))
            seen.append(await ctx.step(made[-1].declared, "y"))
        return seen

    expected = ["service 0: x", "service 0: y", "service 1: x", "service 1: y"]
    assert await live_and_replayed(open_engine, body) == [expected, expected]
    assert len(made) == 4


async def test_no_function_and_no_object_is_kept_alive(open_engine: OpenEngine) -> None:
    """A workflow may define steps in its body, or make the object whose method is one."""
    made: list[weakref.ref[Any]] = []

    async def body(ctx: DurableContext) -> int:
        number = len(made)

        async def inner(value: int) -> int:
            return number + value

        service = Service()
        made.extend(weakref.ref(each) for each in (inner, service))
        await ctx.step(service.undeclared, "x")
        await ctx.step(service.declared, "y")
        return await ctx.step(inner, 1)

    program = version(body)
    async with open_engine(program) as engine:
        await asyncio.gather(*(engine.run(program) for _ in range(5)))
        gc.collect()
        assert [ref() for ref in made] == [None] * 10
