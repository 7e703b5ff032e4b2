"""Runs a workflow's own code, in a task of its own, and says how it ended."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define, field

from durable_core.engine.branch import Branch
from durable_core.engine.call import CURRENT
from durable_core.engine.context import DurableContext
from durable_core.engine.definition import ACTIVE
from durable_core.engine.drive import Drive, RunEnded
from durable_core.engine.eager import start_at_once
from durable_core.engine.run import Run
from durable_core.engine.strand import Strand

__all__ = ["Ended", "end_of"]


@define
class Ended:
    """How the workflow's own code ended; neither where it was closed with its run."""

    value: object = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)


async def end_of(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ended:
    """Call the workflow of `run` and wait for its end. It begins before anything is waited for."""
    ending: asyncio.Future[Ended] = run.loop.create_future()
    body = _body(run, args, kwargs, ending)
    task, _ = start_at_once(body, "durable-workflow", run.execution_id, None, run.loop)
    try:
        return await ending
    except asyncio.CancelledError:
        task.cancel()
        raise


async def _body(
    run: Run,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ending: asyncio.Future[Ended],
) -> None:
    strand = Strand(run, Branch(run.lane.row.execution_id))
    ACTIVE.set(strand)
    CURRENT.set(None)  # that of a step which started this execution
    run.strands.enter(strand)
    try:
        workflow = run.workflow.fn(DurableContext(run, strand), *args, **kwargs)
        ended = Ended(await Drive(workflow, strand.must_close))
    except RunEnded:
        ended = Ended()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the workflow's own
        ended = Ended(error=error)
    finally:
        run.strands.leave(strand)
    if not ending.done():
        # Told here, and not by the task's end, which is seen a turn of the loop later.
        ending.set_result(ended)
