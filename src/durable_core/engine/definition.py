"""The decorators `@step` and `@workflow`, and what they attach to a function.

Both leave the function callable and testable as it is, with one rule: a `@step` function that is
called directly in a workflow's own branch is journaled exactly as through `ctx.step`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from durable_core.engine.descriptor import NO_RETRY, Reconcile, RetryPolicy, StepDescriptor
from durable_core.engine.spec import SPEC, LazySpec, StepSpec, name_of
from durable_core.errors import ConfigError
from durable_core.model.effects import EffectClass, EffectIntentSubClass, OnAmbiguous
from durable_core.wire.call import CallShape

if TYPE_CHECKING:
    from durable_core.engine.context import DurableContext

__all__ = ["ACTIVE", "ActiveWorkflow", "Workflow", "step", "workflow"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ActiveWorkflow(Protocol):
    """The part of a running workflow that a directly called `@step` function needs."""

    def call(
        self,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """Journal the call as a step, as `ctx.step` does; refused in another task than its own."""
        ...


ACTIVE: Final[ContextVar[ActiveWorkflow | None]] = ContextVar("durable_core.active", default=None)
"""The workflow whose code is running in this context; None inside a step and outside."""


@overload
def step(fn: Callable[P, T], /) -> Callable[P, T]: ...
@overload
def step(
    *,
    name: str | None = None,
    effect: EffectClass = EffectClass.AT_LEAST_ONCE,
    sub_class: EffectIntentSubClass | None = None,
    on_ambiguous: OnAmbiguous | Reconcile | None = None,
    retry: RetryPolicy = NO_RETRY,
    timeout: float | None = None,
    safe_to_retry: tuple[type[Exception], ...] = (),
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    effect: EffectClass = EffectClass.AT_LEAST_ONCE,
    sub_class: EffectIntentSubClass | None = None,
    on_ambiguous: OnAmbiguous | Reconcile | None = None,
    retry: RetryPolicy = NO_RETRY,
    timeout: float | None = None,
    safe_to_retry: tuple[type[Exception], ...] = (),
) -> Any:
    """Declare a function as a step: what a workflow does to the outside, or asks of it.

    The function may be `async def` or plain; a plain one runs in the engine's threads. Its
    arguments are fingerprinted, and its result is journaled by its annotation. Called in a
    workflow's own code it is a step as through `ctx.step`; anywhere else it is a plain call.

    `name` (default `__qualname__`) is what the journal knows it by. `effect` says what may happen
    when it runs twice. A guarded one has the kind of harm in `sub_class` and, in `on_ambiguous`,
    what to do after a crash in the middle of it. `retry` says how often it is called again after an
    error, `timeout` how many seconds each call may take. `StepDescriptor` has their errors.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(function, classmethod | staticmethod):
            message = "@step stands below @classmethod and @staticmethod, next to the function"
            raise ConfigError(message)
        descriptor = StepDescriptor(
            name=name or name_of(function),
            effect=effect,
            sub_class=sub_class,
            on_ambiguous=on_ambiguous,
            retry=retry,
            timeout=timeout,
            safe_to_retry=safe_to_retry,
        )
        lazy = LazySpec(function, descriptor)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> object:
            active = ACTIVE.get()
            if active is not None and _in_event_loop():
                if lazy.is_method and args:
                    return active.call(lazy.bound_to(args[0]), args[1:], kwargs)
                return active.call(lazy.spec, args, kwargs)
            return function(*args, **kwargs)

        setattr(called, SPEC, lazy)
        if inspect.iscoroutinefunction(function):
            _mark_async(called)
        return called

    return decorate if fn is None else decorate(fn)


def _shown(fn: object) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))


def _in_event_loop() -> bool:
    """Whether the caller is no thread that a workflow, say, handed a function to."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _mark_async(fn: Callable[..., Any]) -> None:
    """Let `iscoroutinefunction` answer for the wrapper as it does for the function."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(fn)
    else:
        marker = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
        fn._is_coroutine = marker  # type: ignore[attr-defined]  # noqa: SLF001


class Workflow(Generic[P, T_co]):
    """A registered-able workflow; calling it calls the function, as in a test."""

    def __init__(
        self,
        fn: Callable[Concatenate[DurableContext, P], Coroutine[Any, Any, T_co]],
        name: str,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = name

    def __call__(
        self,
        ctx: DurableContext,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T_co]:
        """Call the function itself; nothing is journaled."""
        return self.fn(ctx, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    @functools.cached_property
    def shape(self) -> CallShape:
        """The signature without the context."""
        return CallShape.of(self.fn, skip_first=True)


@overload
def workflow(
    fn: Callable[Concatenate[DurableContext, P], Coroutine[Any, Any, T]],
    /,
) -> Workflow[P, T]: ...
@overload
def workflow(
    *,
    name: str | None = None,
) -> Callable[
    [Callable[Concatenate[DurableContext, P], Coroutine[Any, Any, T]]],
    Workflow[P, T],
]: ...
def workflow(
    fn: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    name: str | None = None,
) -> Any:
    """Declare an `async def` whose first parameter is the context as a workflow.

    Its name (default `__qualname__`) is what the journal knows it by: keep it when the function
    moves. `ConfigError` for a function that is not async or takes no context.
    """

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> Workflow[..., Any]:
        if not inspect.iscoroutinefunction(function):
            message = f"workflow {_shown(function)!r} must be an `async def` function"
            raise ConfigError(message)
        if not inspect.signature(function).parameters:
            message = f"workflow {_shown(function)!r} must take the context first"
            raise ConfigError(message)
        return Workflow(function, name or name_of(function))

    return decorate if fn is None else decorate(fn)
