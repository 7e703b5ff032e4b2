"""A cron-like loop: a guarded job at every due time, for years, in journals that stay short.

    export DURABLE_KEY=$(durable keygen)
    python cron.py --every 60              # until it is stopped; start it again, and it goes on
    python cron.py --every 0.2 --times 5   # five jobs

Each turn of the loop is an execution of its own: it waits, does the job, and hands its key on to
the next one by `ctx.continue_as_new`. Nothing grows, however long it goes on.

As with cron, a due time that passes while nothing runs is made up for once, and not more often.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    reconcile,
    step,
    workflow,
)

URL: Final = "sqlite:///cron.durable.db"
REPORTS: Final = Path("reports.txt")


def was_reported(_key: bytes, due: datetime) -> object:
    """Asked after a kill in the middle of `report`: whether its line is there."""
    lines = REPORTS.read_text().splitlines() if REPORTS.exists() else []
    return None if due.isoformat() in lines else DID_NOT_HAPPEN


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.COST_BEARING,
    on_ambiguous=reconcile(was_reported),
)
def report(due: datetime) -> None:
    """The job: one line for each due time, never two."""
    with REPORTS.open("a") as file:
        file.write(f"{due.isoformat()}\n")
    print("reported", due.isoformat(), flush=True)


@workflow
async def cron(ctx: DurableContext, due: datetime, every: float, left: int | None) -> str:
    """Wait for the due time, do the job, and go on with the next time that is still to come."""
    await ctx.sleep(max(due - await ctx.now(), timedelta()))
    await ctx.step(report, due)
    if left == 1:
        return f"the last report was that of {due.isoformat()}"
    period = timedelta(seconds=every)
    missed = (await ctx.now() - due) // period
    return ctx.continue_as_new(
        due + (missed + 1) * period, every, None if left is None else left - 1
    )


async def main(every: float, times: int | None) -> None:
    """Begin the loop, or go on with it; whichever execution has the key now is waited for."""
    async with DurableEngine.open(URL, workflows=[cron]) as engine:
        first = datetime.now(UTC) + timedelta(seconds=every)
        loop = await engine.start(cron, first, every, times, key="reports", on_conflict="existing")
        print(await loop.result())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Reports at every due time.")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--times", type=int, help="how many reports; without it, no end")
    given = parser.parse_args()
    asyncio.run(main(given.every, given.times))
