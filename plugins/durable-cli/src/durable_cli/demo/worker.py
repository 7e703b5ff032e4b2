"""The process that is killed: opens the journal, starts every order, and waits for all of them.

`python -m durable_cli.demo.worker FOLDER`. It does not know whether it is the first or the tenth:
an order that was started before is found again by its key.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from durable_cli.demo.orders import read_orders
from durable_cli.demo.place import Place
from durable_cli.demo.workflow import fulfil
from durable_core import DurableConfig, DurableEngine

__all__ = ["work"]

_AT_ONCE: Final = 8


async def work(place: Place) -> None:
    """Fulfil every order of the folder; returns when all of them are done."""
    orders = read_orders(place.orders.read_text(encoding="utf-8"))
    config = DurableConfig(max_concurrent_executions=_AT_ONCE)
    async with DurableEngine.open(place.url, workflows=[fulfil], config=config) as engine:
        handles = await asyncio.gather(
            *(engine.start(fulfil, order, key=order.order_id) for order in orders),
        )
        for handle in handles:
            await handle.result()


if __name__ == "__main__":
    asyncio.run(work(Place(Path(sys.argv[1]))))
