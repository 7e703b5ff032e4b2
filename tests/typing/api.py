"""The types that users see. mypy checks this file (`nox -s types`); nothing runs it.

A `type: ignore` here is an assertion too: strict mypy reports one that silences no error, so each
shows that the line beside it is refused.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from attrs import frozen

from durable_core import (
    DID_NOT_HAPPEN,
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    ExecutionHandle,
    OnAmbiguous,
    RetryPolicy,
    current_step,
    reconcile,
    step,
    workflow,
)
from durable_core.contracts import KeyProvider
from durable_core.errors import DurableError, JournalUnavailable, StepFailed


@frozen
class Order:
    number: int


@frozen
class Receipt:
    payment: str
    pages: int


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(order: Order) -> str:
    assert_type(current_step().idempotency_key, bytes)
    return f"payment of {order.number}"


@step
def render(order: Order, *, pages: int = 1) -> bytes:
    return bytes(order.number * pages)


@step(name="mail.send", retry=RetryPolicy(attempts=3), timeout=2.5)
async def send(address: str) -> None: ...


async def ask_the_bank(idempotency_key: bytes, order: Order) -> object:
    return idempotency_key.hex() if order.number else DID_NOT_HAPPEN


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=reconcile(ask_the_bank),
)
async def refund(order: Order) -> str:
    return f"refund of {order.number}"


async def undecorated(order: Order) -> list[int]:
    return [order.number]


def undecorated_and_plain(order: Order) -> dict[str, int]:
    return {"number": order.number}


@workflow
async def checkout(ctx: DurableContext, order: Order) -> Receipt:
    payment = await ctx.step(charge, order)
    assert_type(payment, str)
    pdf = await ctx.step(render, order, pages=2)
    assert_type(pdf, bytes)
    await ctx.step(send, "customer@example.org")
    return Receipt(payment, len(pdf))


@workflow(name="shop.audit")
async def audit(ctx: DurableContext, since: dt.date, limit: int = 10) -> list[str]:
    return [str(since)] * limit if ctx.is_replaying else []


async def decorated_functions_keep_their_types(order: Order) -> None:
    assert_type(await charge(order), str)
    assert_type(render(order, pages=3), bytes)
    assert_type(await refund(order), str)
    await charge("not an order")  # type: ignore[arg-type]
    render(order, pages="three")  # type: ignore[arg-type]


async def a_step_is_typed_by_its_function(ctx: DurableContext, order: Order) -> None:
    pending: Coroutine[Any, Any, str] = ctx.step(charge, order)
    assert_type(await pending, str)
    assert_type(await ctx.step(render, order), bytes)
    assert_type(await ctx.step(undecorated, order), list[int])
    assert_type(await ctx.step(undecorated_and_plain, order), dict[str, int])
    await ctx.step(charge, "not an order")  # type: ignore[call-overload]
    await ctx.step(charge)  # type: ignore[call-overload]
    await ctx.step(render, 7)  # type: ignore[call-overload]


async def what_a_context_offers(ctx: DurableContext) -> None:
    assert_type(ctx.execution_id, uuid.UUID)
    assert_type(ctx.is_replaying, bool)
    assert_type(await ctx.now(), dt.datetime)
    assert_type(ctx.random(), float)
    assert_type(ctx.uuid(), uuid.UUID)


async def pages_of(ctx: DurableContext, order: Order, *, limit: int = 10) -> list[bytes]:
    return [await ctx.step(render, order, pages=limit)]


def no_branch(_order: Order) -> None: ...


async def a_branch_is_typed_by_its_function(ctx: DurableContext, order: Order) -> None:
    async with ctx.parallel() as group:
        pages = group.start(pages_of, order, limit=3)
        group.start(pages_of, "not an order")  # type: ignore[arg-type]
        group.start(pages_of, order, pages=3)  # type: ignore[call-arg]
        group.start(no_branch)  # type: ignore[arg-type] # it takes no context
    assert_type(pages.result(), list[bytes])


@workflow
async def endless(ctx: DurableContext, number: int) -> str:
    if number > 3:
        await ctx.continue_as_new(number - 1)
    return ctx.continue_as_new(number + 1)


async def a_workflow_can_be_called_in_a_test(ctx: DurableContext, order: Order) -> None:
    assert_type(await checkout(ctx, order), Receipt)
    await checkout(ctx, "not an order")  # type: ignore[arg-type]


async def an_engine_is_typed_by_its_workflows(order: Order, keys: KeyProvider) -> None:
    config = DurableConfig(encrypt_payload=False)
    async with DurableEngine.open("sqlite:///a.db", workflows=[checkout, audit]) as engine:
        assert_type(engine, DurableEngine)
        handle = await engine.start(checkout, order, key="order-42")
        assert_type(handle, ExecutionHandle[Receipt])
        assert_type(handle.id, uuid.UUID)
        assert_type(handle.key, str | None)
        assert_type(await handle.result(), Receipt)
        assert_type(await handle.result(timeout=1.5), Receipt)
        assert_type(await engine.run(audit, dt.date(2024, 2, 29), limit=3), list[str])
        await engine.flush()
    async with DurableEngine.open("sqlite:///a.db", config=config, keys=keys, recover=False):
        pass


def errors_say_what_a_handler_needs(failure: StepFailed, unavailable: JournalUnavailable) -> None:
    assert_type(failure.step, str)
    assert_type(failure.error_type, str)
    assert_type(failure.message, str)
    handle: Callable[[DurableError], None] = print
    handle(failure)
    handle(unavailable)


def unknown_settings_are_found_by_the_type_checker_too() -> None:
    """At run time they are a `ConfigError`."""
    DurableConfig(urrl="sqlite:///orders.db")  # type: ignore[call-arg] # no such setting
    DurableConfig(encrypt_payload=None)  # type: ignore[arg-type] # a wrong type
