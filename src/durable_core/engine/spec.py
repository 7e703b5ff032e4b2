"""A step's function with everything that is computed once about it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

from attrs import define, frozen

from durable_core.engine.descriptor import StepDescriptor
from durable_core.errors import ConfigError
from durable_core.replay.detail import detail_frame
from durable_core.wire.call import CallShape
from durable_core.wire.fingerprint import fingerprint_prefix

__all__ = ["SPEC", "LazySpec", "StepForm", "StepSpec", "StepSpecs", "name_of"]

SPEC: Final = "__durable_step__"
"""The attribute by which a decorated function leads to its spec."""


_OWNERS: Final = frozenset({"self", "cls"})


@frozen(eq=False)
class StepForm:
    """What is known of a step apart from the function itself, which may be bound to an object."""

    descriptor: StepDescriptor
    shape: CallShape
    is_async: bool
    detail_frame: tuple[bytes, bytes]
    fingerprint_prefix: bytes

    @classmethod
    def of(
        cls,
        fn: Callable[..., Any],
        descriptor: StepDescriptor,
        shape: CallShape,
    ) -> StepForm:
        """The form of the step that calls `fn`."""
        name, sub_class, policy = descriptor.name, descriptor.sub_class_code, descriptor.policy_code
        return cls(
            descriptor,
            shape,
            inspect.iscoroutinefunction(fn),
            detail_frame(name, len(shape.parameters), sub_class, policy),
            fingerprint_prefix(name, descriptor.effect, sub_class),
        )


@define(eq=False)
class StepSpec:
    """A function and the form in which it is a step.

    Never changed; not frozen, as each call of an undecorated function makes one.
    """

    fn: Callable[..., Any]
    descriptor: StepDescriptor
    shape: CallShape
    is_async: bool
    detail_frame: tuple[bytes, bytes]
    """What stands in front of the digests of a call's arguments, and behind them."""

    fingerprint_prefix: bytes

    @classmethod
    def of(cls, fn: Callable[..., Any], form: StepForm) -> StepSpec:
        """`fn` as a step of that form."""
        return cls(
            fn,
            form.descriptor,
            form.shape,
            form.is_async,
            form.detail_frame,
            form.fingerprint_prefix,
        )

    @classmethod
    def of_operation(cls, op: Callable[[], Any], descriptor: StepDescriptor) -> StepSpec:
        """A callable without arguments: a function, a method, a partial, a lambda, an object."""
        return cls.of(op, StepForm.of(op, descriptor, CallShape.of_operation(op)))


class LazySpec:
    """The spec of a decorated function, made at its first call.

    At decoration time the names that its annotations mention may not exist yet.
    """

    def __init__(self, fn: Callable[..., Any], descriptor: StepDescriptor) -> None:
        self._fn = fn
        self._descriptor = descriptor
        self.is_method = _is_method(fn)
        """Whether its first argument is the object, or the class, that it is called on."""

    @functools.cached_property
    def spec(self) -> StepSpec:
        """The spec; `ConfigError` if the function's annotations cannot be resolved."""
        shape = CallShape.of(self._fn)
        return StepSpec.of(self._fn, StepForm.of(self._fn, self._descriptor, shape))

    def bound_to(self, owner: object) -> StepSpec:
        """The spec of the method of `owner` that the function is."""
        return StepSpec.of(MethodType(self._fn, owner), self._bound)

    @functools.cached_property
    def _bound(self) -> StepForm:
        return StepForm.of(self._fn, self._descriptor, CallShape.of(self._fn, skip_first=True))


class StepSpecs:
    """Finds the spec of any function; what is known of undecorated ones lives as long as they."""

    def __init__(self) -> None:
        self._plain: WeakKeyDictionary[Callable[..., Any], StepForm] = WeakKeyDictionary()
        self._methods: WeakKeyDictionary[Callable[..., Any], StepForm] = WeakKeyDictionary()

    def of(self, fn: Callable[..., Any]) -> StepSpec:
        """The spec of a decorated function, or that of an undecorated one with `@step`'s defaults.

        Of a bound method the object is no argument: it is neither journaled nor compared on replay.
        `ConfigError` for a function without a name or with annotations that do not resolve.
        """
        lazy = getattr(fn, SPEC, None)  # a bound method has what its function has
        if isinstance(lazy, LazySpec):
            return lazy.bound_to(fn.__self__) if isinstance(fn, MethodType) else lazy.spec
        if isinstance(fn, MethodType):
            function, known = fn.__func__, self._methods
        else:
            function, known = fn, self._plain
        try:
            form = known.get(function)
        except TypeError:  # an object of a class that allows no weak references
            return StepSpec.of(fn, _form_of(fn))
        if form is None:
            form = known[function] = _form_of(fn)
        return StepSpec.of(fn, form)


def name_of(fn: Callable[..., Any]) -> str:
    """The default name of a step or workflow: `__qualname__`; `ConfigError` if there is none."""
    name = getattr(fn, "__qualname__", None)
    if not isinstance(name, str) or name.endswith("<lambda>"):
        message = "a step or workflow needs a named function; decorate one, or pass name=..."
        raise ConfigError(message)
    return name


def _is_method(fn: Callable[..., Any]) -> bool:
    """Whether `fn` stands in the body of a class, and takes what it is called on."""
    body = getattr(fn, "__qualname__", "").rpartition(".")[0]
    if not body or body.endswith("<locals>"):
        return False
    first = next(iter(inspect.signature(fn).parameters.values()), None)
    return first is not None and first.name in _OWNERS and first.annotation is first.empty


def _form_of(fn: Callable[..., Any]) -> StepForm:
    return StepForm.of(fn, StepDescriptor(name=name_of(fn)), CallShape.of(fn))
