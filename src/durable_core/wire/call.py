"""The signature of a workflow or step: how a call becomes encoded arguments, and back."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, Final, Self

from attrs import field, frozen

from durable_core.errors import ConfigError, DecodeError
from durable_core.wire.cbor import ARRAY, DEEPEST, head, load
from durable_core.wire.payload import UNTYPED, PayloadCodec

__all__ = ["CallParameter", "CallShape", "join"]

_HEADS: Final = tuple(head(ARRAY, count) for count in range(9))
"""Of as many arguments as most functions have."""

_PLAIN: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@frozen
class CallParameter:
    """One parameter: its name, kind and the type that its value is encoded as."""

    name: str
    kind: inspect._ParameterKind
    as_type: object
    required: bool


@frozen(eq=False)
class CallShape:
    """What is known of a function's calls, computed once. Safe to use from any thread."""

    parameters: tuple[CallParameter, ...]
    returns: object
    _signature: inspect.Signature
    plain: int
    """How many arguments bind to the parameters just as they are; -1 where none do."""

    _types: tuple[object, ...] = field(init=False, repr=False)

    @_types.default
    def _declared(self) -> tuple[object, ...]:
        return tuple(parameter.as_type for parameter in self.parameters)

    @classmethod
    def of(cls, fn: Callable[..., object], *, skip_first: bool = False) -> Self:
        """The shape of `fn`, without its first parameter if told so (a workflow's context).

        `ConfigError` naming the function if an annotation cannot be resolved.
        """
        try:
            signature = inspect.signature(fn)
            target = inspect.unwrap(fn)
            hints = typing.get_type_hints(target, include_extras=True)
        except (NameError, AttributeError, TypeError, ValueError) as error:
            raise _unresolved(fn, error) from error
        listed = list(signature.parameters.values())[1 if skip_first else 0 :]
        return cls(
            tuple(
                CallParameter(
                    parameter.name,
                    parameter.kind,
                    _type_of(parameter, hints),
                    parameter.default is parameter.empty,
                )
                for parameter in listed
            ),
            hints.get("return", UNTYPED),
            signature.replace(parameters=listed),
            len(listed) if all(parameter.kind in _PLAIN for parameter in listed) else -1,
        )

    @classmethod
    def of_operation(cls, op: Callable[[], object]) -> Self:
        """The shape of a callable without arguments; without an annotation its result is untyped.

        `ConfigError` if an annotation cannot be resolved.
        """
        inner: Any = op
        while isinstance(inner, functools.partial):
            inner = inner.func
        if not inspect.isroutine(inner):
            inner = type(inner).__call__
        try:
            returns = typing.get_type_hints(inspect.unwrap(inner), include_extras=True).get(
                "return", UNTYPED
            )
        except (NameError, AttributeError, TypeError, ValueError) as error:
            raise _unresolved(inner, error) from error
        return cls((), returns, inspect.Signature(), 0)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """One value for each parameter, defaults applied; `TypeError` like the call's own."""
        if not kwargs and len(args) == self.plain:
            return args
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def encode_each(self, codec: PayloadCodec, bound: Sequence[Any]) -> tuple[bytes, ...]:
        """Each value's encoding, in order; `DecodeError` naming the parameter it refuses."""
        leaves = codec.encode_leaves(bound, self._types)
        if leaves is not None:
            return leaves
        parts = []
        for parameter, value in zip(self.parameters, bound, strict=True):
            try:
                parts.append(codec.encode(value, parameter.as_type))
            except DecodeError as error:
                message = f"argument {parameter.name!r}: {error}"
                raise DecodeError(message) from error
        return tuple(parts)

    def keeps(self, codec: PayloadCodec, bound: Sequence[Any]) -> bool:
        """Whether `decode` of what `encode_each` made of `bound` can only give `bound` itself."""
        return len(bound) == self.plain and all(
            codec.keeps(value, parameter.as_type)
            for parameter, value in zip(self.parameters, bound, strict=True)
        )

    def decode(self, codec: PayloadCodec, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments to call with. A parameter that was added since takes its default.

        `DecodeError` if they do not fit the signature any more.
        """
        plain = load(data, DEEPEST + 1)  # the array of all arguments around them
        if not isinstance(plain, list) or len(plain) > len(self.parameters):
            raise _misfit()
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter, value in zip(self.parameters, plain, strict=False):
            structured = codec.structure(value, parameter.as_type)
            match parameter.kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    args.extend(structured)
                case inspect.Parameter.VAR_KEYWORD:
                    kwargs.update(structured)
                case inspect.Parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = structured
                case _:
                    args.append(structured)
        if any(
            parameter.required and not _collects(parameter.kind)
            for parameter in self.parameters[len(plain) :]
        ):
            raise _misfit()
        return tuple(args), kwargs


def join(parts: Sequence[bytes]) -> bytes:
    """The encoded arguments: one array of the parts, which are encoded already."""
    count = len(parts)
    return (_HEADS[count] if count < len(_HEADS) else head(ARRAY, count)) + b"".join(parts)


def _type_of(parameter: inspect.Parameter, hints: dict[str, Any]) -> object:
    hint = hints.get(parameter.name, UNTYPED)
    if isinstance(hint, typing.ParamSpecArgs | typing.ParamSpecKwargs):
        hint = UNTYPED
    if parameter.kind is parameter.VAR_POSITIONAL:
        return GenericAlias(tuple, (hint, ...))
    if parameter.kind is parameter.VAR_KEYWORD:
        if typing.get_origin(hint) is typing.Unpack:
            return typing.get_args(hint)[0]
        return GenericAlias(dict, (str, hint))
    return hint


def _collects(kind: inspect._ParameterKind) -> bool:
    return kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _unresolved(fn: Callable[..., object], error: Exception) -> ConfigError:
    name = getattr(fn, "__qualname__", repr(type(fn)))
    return ConfigError(
        f"the annotations of {name} cannot be resolved ({error}); the types must be importable "
        "names of its module",
    )


def _misfit() -> DecodeError:
    return DecodeError("the journaled arguments do not fit the function's parameters any more")
