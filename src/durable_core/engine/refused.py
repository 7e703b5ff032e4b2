"""Mistakes of the caller: why nothing can be asked for where it is asked, one error for each."""

from __future__ import annotations

from durable_core.engine.branch import Branch
from durable_core.engine.call import CURRENT
from durable_core.errors import ExecutionError
from durable_core.ids import ExecutionId

__all__ = ["ended", "foreign_task", "misplaced", "no_branch", "outlived"]


def ended(execution_id: ExecutionId, name: str) -> ExecutionError:
    """The run takes no more calls."""
    return ExecutionError(f"execution {execution_id} has ended here; step {name!r} was not called")


def no_branch(name: str) -> ExecutionError:
    """The caller stands in no branch of the run: in a step, or outside of the workflow."""
    if CURRENT.get() is not None:
        return ExecutionError(
            f"step {name!r} was called within another step; the function of a step calls plain "
            "functions, and the workflow calls steps"
        )
    return ExecutionError(
        f"step {name!r} was called in no branch of the workflow that its context belongs to; a "
        "context is used by the workflow itself, and by tasks that the workflow makes"
    )


def foreign_task(name: str) -> ExecutionError:
    """The caller is not the branch's own task, and what it asks for needs a position."""
    return ExecutionError(
        f"{name!r} was asked for in a task that is not the branch's own, or in a thread or "
        "callback; ask in the branch itself, and give each line of work a branch of its own by "
        "ctx.parallel()"
    )


def misplaced(name: str, branch: Branch) -> ExecutionError:
    """The context is not that of the branch which asks: it was handed on."""
    return ExecutionError(
        f"{name!r} was asked of the context of {branch.name} by another branch; each branch uses "
        "the context that it is given"
    )


def outlived(name: str, branch: Branch) -> ExecutionError:
    """The branch is over: a task of it goes on, or its context was kept."""
    return ExecutionError(
        f"{name!r} was asked of the context of {branch.name}, which has ended; a branch waits for "
        "the tasks that it makes, and nothing of it outlives its block"
    )
