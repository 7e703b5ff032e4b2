"""Unhinged with tasks of five steps: `python -m bench.unhinged_program FILE`, one at a time.

Runs where `unhinged` is installed and durable-core is not, and answers lines: see
`workload.answer`. A task is spawned, claimed and run by the same thread, which then reads its
result: a worker of its own would find the task when it polls next, a quarter of a second later.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys
from typing import Any, Final

from bench.durability import ON_SQLITE
from bench.workload import STEPS, Five, answer

__all__ = ["main"]

_NAME: Final = "five"
_WIDTH: Final = 254
"""Of what a step returns. Unhinged stores JSON, so it is a text of as many digits."""


def registered(app: Any) -> Five:  # noqa: ANN401 - of a package that is not here
    """The task of five steps, as Unhinged runs it on this thread."""

    def charge(number: int) -> str:
        return f"{number:0{_WIDTH}}"

    def task(first: int, ctx: Any) -> int:  # noqa: ANN401 - the same
        results = [ctx.step("charge", lambda n=n: charge(first + n)) for n in range(STEPS)]
        return sum(int(result) for result in results)

    app.register_task(_NAME)(task)

    async def five(first: int) -> int:
        task_id = app.spawn(_NAME, first)["task_id"]
        assert app.work_batch() == 1, "a task was not there to be claimed"
        return int(app.fetch_task_result(task_id).result)

    return five


def main(path: str) -> None:
    """Open, answer and close."""
    app = importlib.import_module("unhinged").Unhinged(path)
    try:
        ((settings,),) = app.engine.connection.execute(ON_SQLITE).fetchall()
        said = f"{importlib.metadata.version('unhinged')} {settings}"
        asyncio.run(answer(said, registered(app)))
    finally:
        app.close()


if __name__ == "__main__":
    main(sys.argv[1])
