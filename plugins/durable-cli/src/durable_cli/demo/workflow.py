"""The order workflow: charge, invoice, e-mail, warehouse; one step for each class of effect.

A workflow is ordinary code. What a step says of itself decides what a crash may do to it:

- `charge` moves money. When nobody can tell whether it ran, `find_charge` asks the provider.
- `notify_warehouse` costs something. When nobody can tell, it is not sent again: at most once.
- `send_email` may be sent again: at least once.
- `write_invoice` changes nothing when it runs again.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from attrs import frozen

from durable_cli.demo.orders import Order
from durable_cli.demo.outside import Outside
from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    reconcile,
    step,
    workflow,
)

__all__ = ["Receipt", "charge_id_of", "fulfil", "invoice_text"]

_ONE_WAY_SECS: Final = 0.008
"""How long a request, and then its answer, is under way: time for a crash in between."""


@frozen
class Receipt:
    """What the workflow returns."""

    order_id: str
    charge_id: str
    amount_cents: int
    invoice: str


async def find_charge(idempotency_key: bytes, order: Order) -> object:
    """Ask the provider: the charge that was made under this key, or that there was none."""
    key = idempotency_key.hex()
    if await asyncio.to_thread(Outside.here().happened, "charge", key):
        return charge_id_of(order.order_id, key)
    return DID_NOT_HAPPEN


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=reconcile(find_charge),
)
async def charge(order: Order) -> str:
    """Charge the customer; the id of the charge."""
    key = current_step().idempotency_key.hex()
    outside = Outside.here()
    await asyncio.sleep(_ONE_WAY_SECS)
    await asyncio.to_thread(
        outside.record,
        "charge",
        order.order_id,
        key,
        cents=order.amount_cents,
    )
    await asyncio.sleep(_ONE_WAY_SECS)
    return charge_id_of(order.order_id, key)


@step(effect=EffectClass.IDEMPOTENT)
def write_invoice(order: Order, charge_id: str) -> str:
    """Write the invoice; the name of its file. A plain function runs in a thread."""
    Outside.here().write_invoice(order.order_id, invoice_text(order, charge_id))
    return Outside.here().invoice(order.order_id).name


@step
def send_email(order: Order, invoice: str) -> None:
    """Tell the customer. Without further words a step is at-least-once."""
    key = current_step().idempotency_key.hex()
    time.sleep(_ONE_WAY_SECS)
    Outside.here().record("send_email", order.order_id, key, to=order.email, invoice=invoice)
    time.sleep(_ONE_WAY_SECS)


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.COST_BEARING,
    on_ambiguous=OnAmbiguous.SKIP,
)
async def notify_warehouse(order: Order) -> None:
    """Order the parcel from the warehouse; two parcels are worse than a question."""
    key = current_step().idempotency_key.hex()
    outside = Outside.here()
    await asyncio.sleep(_ONE_WAY_SECS)
    await asyncio.to_thread(outside.record, "notify_warehouse", order.order_id, key)
    await asyncio.sleep(_ONE_WAY_SECS)


@workflow(name="fulfil")
async def fulfil(ctx: DurableContext, order: Order) -> Receipt:
    """Fulfil one order, however often the process dies meanwhile."""
    charge_id = await ctx.step(charge, order)
    invoice = await ctx.step(write_invoice, order, charge_id)
    await ctx.step(send_email, order, invoice)
    await ctx.step(notify_warehouse, order)
    return Receipt(order.order_id, charge_id, order.amount_cents, invoice)


def charge_id_of(order_id: str, key: str) -> str:
    """The provider's id of the charge under an idempotency key (hexadecimal)."""
    return f"ch-{order_id}-{key[:12]}"


def invoice_text(order: Order, charge_id: str) -> str:
    """What the invoice of an order says."""
    lines = "".join(f"{line}\n" for line in order.lines)
    head = f"Invoice for {order.customer}, {order.order_id}\n"
    return f"{head}{lines}total {order.amount_cents}\npaid with {charge_id}\n"
