"""A worker process of the bench: `python -m bench.worker URL`; it ends with its input."""

from __future__ import annotations

import asyncio
import logging
import sys

from bench.engines import guarded_five, opened_engine

__all__ = ["work"]


async def work(url: str) -> None:
    """Claim and run what was started anywhere, with every default."""
    logging.getLogger("durable_core").addHandler(logging.NullHandler())
    async with opened_engine(url, [guarded_five], claim=True) as engine:
        print(engine.parts.journal.owner_id, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
