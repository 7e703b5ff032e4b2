"""Runs a workflow's own code, in a task of its own, and says how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

__all__ = ["Ended", "begin", "end_of"]


@define
class Ended:
    """How the workflow's own code ended; neither where it was closed with its run."""

    value: object = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)

    @property
    def interrupted(self) -> bool:
        """Whether it was the whole program that ended there."""
        return isinstance(self.error, KeyboardInterrupt | SystemExit)


def begin(
    run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], told: Callable[[Run, Ended], None]
) -> asyncio.Task[None]:
    """Call the workflow of `run` in a task of its own, as far as its first wait; that task.

    `told` is called in the last step of the task, which may be taken before this returns: the
    task's own end is seen a turn of the loop later.
    """
    body = _body(run, args, kwargs, told)
    task, _ = start_at_once(body, "durable-workflow", run.execution_id, None, run.loop)
    return task


async def end_of(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ended:
    """Call the workflow of `run` and wait for its end. It begins before anything is waited for."""
    ending: asyncio.Future[Ended] = run.loop.create_future()

    def told(_: Run, ended: Ended) -> None:
        if not (ending.done() or ended.interrupted):
            ending.set_result(ended)

    task = begin(run, args, kwargs, told)
    try:
        return await ending
    except asyncio.CancelledError:
        task.cancel()
        raise


async def _body(
    run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], told: Callable[[Run, Ended], None]
) -> None:
    strand = Strand(run, Branch(run.lane.row.execution_id))
    ACTIVE.set(strand)
    CURRENT.set(None)  # that of a step which started this execution
    run.strands.enter(strand)
    run.ready_before = len(run.ready)
    try:
        workflow = run.workflow.fn(DurableContext(run, strand), *args, **kwargs)
        ended = Ended(await Drive(workflow, strand.must_close))
    except RunEnded:
        ended = Ended()
    except (KeyboardInterrupt, SystemExit) as error:
        told(run, Ended(error=error))
        raise
    except BaseException as error:  # noqa: BLE001 - the workflow's own
        ended = Ended(error=error)
    finally:
        run.strands.leave(strand)
    told(run, ended)
