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
    cast,
    overload,
)
from weakref import WeakKeyDictionary

from attrs import frozen

from durable_core.engine.descriptor import NO_RETRY, Reconcile, RetryPolicy, StepDescriptor
from durable_core.errors import ConfigError
from durable_core.model.effects import EffectClass, EffectIntentSubClass, OnAmbiguous
from durable_core.replay.detail import detail_prefix
from durable_core.wire.call import CallShape

if TYPE_CHECKING:
    from durable_core.engine.context import DurableContext

__all__ = [
    "ACTIVE",
    "ActiveWorkflow",
    "StepSpec",
    "StepSpecs",
    "Workflow",
    "step",
    "workflow",
]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SPEC: Final = "__durable_step__"


class ActiveWorkflow(Protocol):
    """The part of a running workflow that a directly called `@step` function needs."""

    def owns_current_task(self) -> bool:
        """Whether the caller stands in the workflow's own branch, outside any step."""
        ...

    def call(
        self,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """Journal the call as a step, as `ctx.step` does."""
        ...


ACTIVE: Final[ContextVar[ActiveWorkflow | None]] = ContextVar("durable_core.active", default=None)
"""The workflow whose code is running in this context; None inside a step and outside."""


@frozen(eq=False)
class StepSpec:
    """A step's function with everything that is computed once about it."""

    fn: Callable[..., Any]
    descriptor: StepDescriptor
    shape: CallShape
    is_async: bool
    detail_prefix: bytes

    @classmethod
    def of(cls, fn: Callable[..., Any], descriptor: StepDescriptor) -> StepSpec:
        """`ConfigError` if the function's annotations cannot be resolved."""
        return cls(
            fn,
            descriptor,
            CallShape.of(fn),
            inspect.iscoroutinefunction(inspect.unwrap(fn)),
            detail_prefix(descriptor.name),
        )


class StepSpecs:
    """Finds the spec of any function; those of undecorated ones live as long as the function."""

    def __init__(self) -> None:
        self._plain: WeakKeyDictionary[Callable[..., Any], StepSpec] = WeakKeyDictionary()

    def of(self, fn: Callable[..., Any]) -> StepSpec:
        """The spec of a decorated function, or that of an undecorated one with `@step`'s defaults.

        `ConfigError` for a function without a name or with annotations that do not resolve.
        """
        lazy = getattr(fn, _SPEC, None)
        if lazy is not None:
            return cast("_LazySpec", lazy).spec
        spec = self._plain.get(fn)
        if spec is None:
            spec = StepSpec.of(fn, StepDescriptor(name=name_of(fn)))
            self._plain[fn] = spec
        return spec


def name_of(fn: Callable[..., Any]) -> str:
    """The default name of a step or workflow: `__qualname__`; `ConfigError` if there is none."""
    name = getattr(fn, "__qualname__", None)
    if not isinstance(name, str) or name == "<lambda>":
        message = "a step or workflow needs a named function; decorate one, or pass name=..."
        raise ConfigError(message)
    return name


class _LazySpec:
    # Annotations are resolved at the first call: at decoration time the names that they mention
    # may not exist yet.
    def __init__(self, fn: Callable[..., Any], descriptor: StepDescriptor) -> None:
        self._fn = fn
        self._descriptor = descriptor

    @functools.cached_property
    def spec(self) -> StepSpec:
        return StepSpec.of(self._fn, self._descriptor)


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
    """Declare a function as a step. See `StepDescriptor` for the settings and their errors.

    The function may be `async def` or plain; a plain one runs in the engine's threads. Its
    arguments are fingerprinted, and its result is journaled by its annotation.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        descriptor = StepDescriptor(
            name=name or name_of(function),
            effect=effect,
            sub_class=sub_class,
            on_ambiguous=on_ambiguous,
            retry=retry,
            timeout=timeout,
            safe_to_retry=safe_to_retry,
        )
        lazy = _LazySpec(function, descriptor)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> object:
            active = ACTIVE.get()
            if active is not None and active.owns_current_task():
                return active.call(lazy.spec, args, kwargs)
            return function(*args, **kwargs)

        setattr(called, _SPEC, lazy)
        if inspect.iscoroutinefunction(function):
            _mark_async(called)
        return called

    return decorate if fn is None else decorate(fn)


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
            message = f"workflow {name_of(function)!r} must be an `async def` function"
            raise ConfigError(message)
        if not inspect.signature(function).parameters:
            message = f"workflow {name_of(function)!r} must take the context as first parameter"
            raise ConfigError(message)
        return Workflow(function, name or name_of(function))

    return decorate if fn is None else decorate(fn)
