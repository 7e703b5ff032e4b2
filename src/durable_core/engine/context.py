"""What a workflow sees of the engine."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, overload

from durable_core.engine.awaiting import await_promise
from durable_core.engine.branch import Branch
from durable_core.engine.children import ChildHandle, start_child
from durable_core.engine.continuing import continue_as_new
from durable_core.engine.definition import ACTIVE
from durable_core.engine.descriptor import StepDescriptor
from durable_core.engine.parallel import ParallelBlock
from durable_core.engine.promise import DurablePromise, make_promise
from durable_core.engine.receiving import receive
from durable_core.engine.refused import misplaced, outlived
from durable_core.engine.sleeping import delay_ms, due_time, sleep
from durable_core.engine.spec import StepSpec
from durable_core.engine.strand import Strand
from durable_core.errors import ExecutionError
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass

if TYPE_CHECKING:
    from durable_core.engine.definition import Workflow
    from durable_core.engine.run import Run

__all__ = ["DurableContext"]

P = ParamSpec("P")
T = TypeVar("T")

_NOW = StepDescriptor(name="durable.now", effect=EffectClass.IDEMPOTENT)


class DurableContext:
    """The first argument of every workflow and of every branch; valid while that runs.

    What a workflow does to the outside, or asks of it, goes by way of its context and is journaled.
    Most methods take the next step id, a position in the branch, in the instant in which they are
    called, and return a coroutine: await it, gather it or make a task of it.

    Each branch uses its own context. Tasks that a branch makes may call steps on it, which are then
    matched by content, and nothing else.
    """

    def __init__(self, run: Run, strand: Strand) -> None:
        self._run = run
        self._strand = strand

    @property
    def execution_id(self) -> ExecutionId:
        """The id of this execution."""
        return self._run.execution_id

    @property
    def is_replaying(self) -> bool:
        """Whether journaled steps are still ahead; true only while a resumed run catches up.

        For logs and progress displays. A workflow that branches on it diverges.
        """
        return self._run.cursor.replaying

    @overload
    def step(
        self,
        fn: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        fn: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Take the next step id and return a coroutine that performs the step `fn(*args)`.

        `fn` is a `@step` function or any other, which is then at least once. The id is taken now,
        so `asyncio.gather(ctx.step(a), ctx.step(b))` is deterministic. The coroutine's value is
        what the journal will return on replay, when `fn` is not called: the decoded encoding of
        what `fn` returned. It raises `StepFailed` when the step fails for good.

        Raises at once: `TypeError` for wrong arguments, `DecodeError` for an argument that cannot
        be encoded, `StepCapExceeded`, `ExecutionError` outside of the branch or after its end.
        Durability at return depends on the effect class; spec/effects.md has the table.

        In another task than the branch's own (a helper under `asyncio.gather`, say) it takes no id
        by position: such steps are matched by their content; see spec/concurrency.md.
        """
        spec = self._run.parts.specs.of(fn)
        if ACTIVE.get() is self._strand:
            return self._run.call_in(self._strand, spec, args, kwargs)
        return self._here(spec.descriptor.name).call(spec, args, kwargs)

    def run(
        self,
        descriptor: StepDescriptor,
        op: Callable[[], Awaitable[T]] | Callable[[], T],
    ) -> Coroutine[Any, Any, T]:
        """The explicit form of `step`: a descriptor and a function without arguments.

        The fingerprint covers the descriptor alone, so what `op` closes over is not guarded
        against divergence; name what matters in the descriptor's name.
        """
        spec = StepSpec.of_operation(op, descriptor)
        return self._here(descriptor.name).call(spec, (), {})

    def now(self) -> Coroutine[Any, Any, datetime]:
        """The time (UTC, milliseconds) at which this was first asked; journaled as a step."""
        clock = self._run.parts.clock

        async def now() -> datetime:
            return datetime.fromtimestamp(clock.now_ms() / 1000, UTC)

        return self.run(_NOW, now)

    def sleep(self, delta: float | timedelta) -> Coroutine[Any, Any, None]:
        """Wait for so many seconds, or a timedelta; takes the next step id when it is called.

        The time runs from when the coroutine first begins, and the due time is journaled then:
        that one counts in every later run, and one that passed while nothing ran is over at once.
        Wakes up to some milliseconds late, by the wall clock. Raises at once: `ConfigError` for a
        negative time or one beyond the year 9999, and as `step` does.
        """
        run = self._here("ctx.sleep()")
        return sleep(run, None, delay_ms(run, delta))

    def sleep_until(self, when: datetime) -> Coroutine[Any, Any, None]:
        """Wait until `when`, which has a time zone, as `sleep` does.

        A time that has passed is over at once. `ConfigError` for one that lies before the
        execution began, or beyond the year 9999 (UTC): that can only be a mistake.
        """
        run = self._here("ctx.sleep_until()")
        return sleep(run, due_time(run, when))

    def parallel(self) -> ParallelBlock:
        """A block of branches that run at the same time: `async with ctx.parallel() as group`.

        `group.start(branch, *args)` runs `async def branch(ctx, *args)` with a context and step
        numbers of its own, and returns a handle whose `result()` is there after the block. Leaving
        the block waits for all; where one fails, the others are cancelled, and an `ExceptionGroup`
        is raised. Takes the next step id when it is called; raises at once as `step` does, and
        `ExecutionError` in another task than the branch's own.
        """
        run = self._here("ctx.parallel()")
        place, _ = run.take_place("ctx.parallel()")
        run.folding.settle(place)  # it has no entry
        return ParallelBlock(run, self._strand, place, lambda strand: DurableContext(run, strand))

    def promise(self, kind: type[T], *, name: str) -> Coroutine[Any, Any, DurablePromise[T]]:
        """Make a promise that somebody outside resolves with a value of `kind`, once.

        It is waited for by `await_promise`, and resolved by `DurableEngine.resolve` or a
        `DurableHandle`. Takes the next step id when it is called. When the coroutine returns, the
        promise and all that was issued before are durable: its `token` may be handed out then, and
        after a crash, or in a fresh run, the same one is. Promises of one name in one branch are
        told apart by their order. Raises at once: `ConfigError` for a bad name or an execution
        without a key, and as `step` does.
        """
        return make_promise(self._here("ctx.promise()"), kind, name)

    def await_promise(
        self,
        promise: DurablePromise[T],
        *,
        timeout: float | timedelta | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Wait until `promise` is resolved, however long; its value, the same for all who wait.

        Takes the next step id when it is called. `StepFailed` where it is rejected, with the
        promise's name and the reason; `TimeoutError` after `timeout`, which is a timer like that
        of `sleep`. After that the promise can still be resolved, and waited for again. Raises at
        once: `ConfigError` for a promise of another execution, or a time that cannot be waited for.
        """
        run = self._here("ctx.await_promise()")
        longest = None if timeout is None else delay_ms(run, timeout)
        return await_promise(run, promise, longest)

    def receive(
        self,
        name: str,
        kind: type[T],
        *,
        timeout: float | timedelta | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Wait for the next signal of that name that was sent to this execution; its value.

        Sent by `DurableEngine.signal`. Takes the next step id when it is called. Signals of one
        name come in the order in which they were sent, each once, in one branch. `TimeoutError`
        after `timeout`: then the next call waits for the same signal. `StepFailed` for a value that
        is not of `kind`: it was received, and the next call waits for the next one. Raises at once:
        `ConfigError` for a wrong name, or in a second branch, and as `step` does.
        """
        run = self._here("ctx.receive()")
        return receive(run, name, kind, None if timeout is None else delay_ms(run, timeout))

    def start_child(
        self,
        workflow: Workflow[..., T],
        /,
        *args: Any,
        key: str | None = None,
        run: Literal["here", "anywhere"] = "here",
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ChildHandle[T]]:
        """Start another workflow as a child of this one; durable when the coroutine returns.

        Takes the next step id when it is called. Started once, whatever is killed in between: its
        key is derived from this step unless one is given. A child is cancelled when its parent is;
        otherwise it goes on without it. `run` is as for `DurableEngine.start`.
        Raises at once: `ConfigError` for a workflow that is not registered here, and as `step`
        does; the coroutine raises `StepFailed` where the key is another execution's.
        """
        here = self._here("ctx.start_child()")
        return start_child(here, workflow, args, kwargs, key=key, where=run)

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        """Fold what has finished, so that it does not count towards the cap any more; durable.

        Entries of finished steps, waits and promises give way to checkpoints, which hold them;
        those of guarded steps stay. A replay sees no difference. The engine does it by itself at
        90 % of `max_steps_per_execution`, so a workflow need not call this. It takes no step id,
        and folds nothing where the run replays. Raises at once: `ExecutionError` in another task
        than the branch's own.
        """
        return self._here("ctx.checkpoint()").checkpoint()

    def continue_as_new(self, *args: Any, **kwargs: Any) -> NoReturn:
        """End this execution, and go on in a new one of the same workflow with these arguments.

        For workflows without an end: the journal of each execution stays short. Never returns, so
        that `ctx.continue_as_new(x)`, `return ctx.continue_as_new(x)` and `await` before it are the
        same. It unwinds the workflow by something that `except Exception` does not catch; `finally`
        blocks run, steps in them too, and what they raise counts instead.

        When the workflow has unwound, the end of this execution (`completed`) and the start of the
        next commit as one, with the key: a crash leaves both or neither. Handles, `engine.run`,
        `engine.cancel` and `engine.signal` lead on to the latest one, and signals that were not
        received go with it. As when a workflow returns, children go on by themselves, and promises
        and timers of this execution come to nothing.

        Raises at once, and nothing is recorded: `TypeError` or `DecodeError` for arguments that do
        not fit, `PayloadTooLarge`, `ExecutionError` outside of the workflow's own code.
        """
        continue_as_new(self._run, self._strand, args, kwargs)

    def random(self) -> float:
        """A float in [0, 1), the same on every replay: derived, not journaled."""
        return self._own_branch("random").random()

    def uuid(self) -> uuid.UUID:
        """A UUID that is the same on every replay and unique to this call; not journaled.

        Derived from the execution and the count of draws, and so predictable by who knows the
        execution's id: an identifier, not a secret.
        """
        return self._own_branch("uuid").uuid()

    def __repr__(self) -> str:
        return f"<DurableContext of execution {self._run.execution_id}>"

    def _here(self, what: str) -> Run:
        """The run, for a caller in the branch of this context; `ExecutionError` in another one."""
        run, active = self._run, ACTIVE.get()
        if active is not self._strand and isinstance(active, Strand) and not run.ended:
            refused = outlived if self._strand.over else misplaced
            raise refused(what, self._strand.branch)
        return run

    def _own_branch(self, name: str) -> Branch:
        strand = self._strand
        if strand.over or self._run.ended or self._run.strands.own() is not strand or strand.inside:
            message = (
                f"ctx.{name}() belongs in the branch's own task while it runs, and not in a step: "
                "the number that it returns counts the calls of the branch"
            )
            raise ExecutionError(message)
        return strand.branch
