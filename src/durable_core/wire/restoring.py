"""Structures plain data by annotations, strictly: what does not fit is refused, never converted.

cattrs does the work for classes and containers; its lenient hooks for scalars (`str(None)` is
"None") are replaced here, and whatever a class could lose on its way is found by comparing.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import operator
import typing
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import PurePath
from types import GenericAlias
from typing import Any, Final, TypeVar, Union

import attrs
from cattrs import Converter
from cattrs.cols import is_namedtuple
from cattrs.strategies import configure_union_passthrough

from durable_core.errors import DecodeError

__all__ = ["restores", "strict_converter"]

_EXACT: Final = (int, str, bytes, bool, type(None), uuid.UUID, dt.date)
_SCALARS: Final = frozenset({int, str, bytes, bool, type(None)})
T = TypeVar("T")


def strict_converter() -> Converter:
    """A converter that accepts, for each annotation, only what that annotation writes."""
    converter = Converter(detailed_validation=False, forbid_extra_keys=True)
    for exact in _EXACT:
        # By identity: a hook for `int` proper would also answer for every IntEnum.
        converter.register_structure_hook_func(partial(operator.is_, exact), _exactly(exact))
        converter.register_unstructure_hook_func(partial(operator.is_, exact), _identity)
    converter.register_structure_hook_func(
        is_namedtuple,
        lambda value, kind: kind(*converter.structure(value, _tuple_of(kind))),
    )
    converter.register_unstructure_hook_factory(
        is_namedtuple,
        lambda kind: lambda value: converter.unstructure(tuple(value), _tuple_of(kind)),
    )
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(decimal.Decimal, _decimal)
    converter.register_unstructure_hook(decimal.Decimal, _identity)
    converter.register_structure_hook(dt.datetime, _datetime)
    converter.register_unstructure_hook(
        dt.datetime,
        lambda value: value.isoformat() if value.tzinfo is None else value,
    )
    converter.register_structure_hook(dt.time, _parsed(dt.time.fromisoformat))
    converter.register_unstructure_hook(dt.time, dt.time.isoformat)
    converter.register_structure_hook(dt.timedelta, _timedelta)
    converter.register_unstructure_hook(
        dt.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
    )
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, PurePath),
        lambda value, kind: kind(_exactly(str)(value, str)),
    )
    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, PurePath),
        str,
    )
    configure_union_passthrough(
        Union[  # noqa: UP007 - the strategy takes a typing union
            str,
            bytes,
            bool,
            int,
            float,
            decimal.Decimal,
            uuid.UUID,
            dt.date,
            None,
        ],
        converter,
    )
    return converter


def restores(value: object, restored: object, *, typed: bool) -> bool:
    """Whether `restored` is what `value` was: same classes, equal parts, NaN equal to NaN.

    With `typed`, a container may come back as another one of its family, and an int as a float:
    the annotation says which it is.
    """
    kind = type(value)
    if kind is type(restored) and kind in _SCALARS:
        return value == restored
    if isinstance(value, list | tuple) and isinstance(restored, list | tuple):
        return (
            _same_class(value, restored, typed=typed)
            and len(value) == len(restored)
            and all(map(partial(restores, typed=typed), value, restored))
        )
    if isinstance(value, Mapping) and isinstance(restored, Mapping):
        return (
            _same_class(value, restored, typed=typed)
            and len(value) == len(restored)
            and all(_pair_restores(value, restored, key, typed=typed) for key in value)
        )
    if isinstance(value, AbstractSet) and isinstance(restored, AbstractSet):
        return _same_class(value, restored, typed=typed) and _sets_equal(value, restored)
    return _leaf_restores(value, restored, typed=typed)


def _leaf_restores(value: object, restored: object, *, typed: bool) -> bool:
    if typed and type(value) is int and type(restored) is float:
        return value == restored
    if type(value) is not type(restored):
        return False
    if isinstance(value, float | decimal.Decimal):
        # Their texts differ where the values do, tell -0.0 from 0.0, and are equal for NaN.
        return str(value) == str(restored)
    names = _field_names(type(value))
    if names is not None:
        return all(
            restores(getattr(value, name), getattr(restored, name), typed=typed) for name in names
        )
    return bool(value == restored)


def _same_class(value: object, restored: object, *, typed: bool) -> bool:
    if type(value) is type(restored):
        return True
    builtin = {list, tuple, dict, set, frozenset}
    return typed and type(value) in builtin and type(restored) in builtin


def _pair_restores(
    value: Mapping[Any, Any],
    restored: Mapping[Any, Any],
    key: object,
    *,
    typed: bool,
) -> bool:
    if key not in restored or not restores(value[key], restored[key], typed=typed):
        return False
    return typed or any(type(other) is type(key) and other == key for other in restored)


def _sets_equal(value: AbstractSet[Any], restored: AbstractSet[Any]) -> bool:
    def kinds(items: AbstractSet[Any]) -> list[str]:
        return sorted(type(item).__name__ for item in items)

    return value == restored and kinds(value) == kinds(restored)


def _field_names(kind: type) -> tuple[str, ...] | None:
    if attrs.has(kind):
        return tuple(field.name for field in attrs.fields(kind))
    fields = getattr(kind, "__dataclass_fields__", None)
    return None if fields is None else tuple(fields)


def _tuple_of(kind: type) -> type[tuple[typing.Any, ...]]:
    """The tuple type that a NamedTuple's annotations spell, resolved."""
    hints = typing.get_type_hints(kind)
    names: tuple[str, ...] = getattr(kind, "_fields", ())
    items = tuple(hints.get(name, typing.Any) for name in names)
    return typing.cast("type[tuple[typing.Any, ...]]", GenericAlias(tuple, items))


def _identity(value: T) -> T:
    return value


def _exactly(expected: type[T]) -> Callable[[object, object], T]:
    def structure(value: object, _kind: object) -> T:
        if type(value) is not expected:
            raise _mismatch(expected.__name__, value)
        return value

    return structure


def _float(value: object, _kind: object) -> float:
    if type(value) is int:
        return float(value)
    return _exactly(float)(value, float)


def _decimal(value: object, _kind: object) -> decimal.Decimal:
    # NaN and the infinities have no decimal form in CBOR; they are written as floats.
    if type(value) is float and not math.isfinite(value):
        return decimal.Decimal(value)
    return _exactly(decimal.Decimal)(value, decimal.Decimal)


def _datetime(value: object, _kind: object) -> dt.datetime:
    if type(value) is str:
        return dt.datetime.fromisoformat(value)
    return _exactly(dt.datetime)(value, dt.datetime)


def _timedelta(value: object, _kind: object) -> dt.timedelta:
    days, seconds, microseconds = _exactly(list)(value, list)
    return dt.timedelta(days, seconds, microseconds)


def _parsed(parse: Callable[[str], T]) -> Callable[[object, object], T]:
    return lambda value, _kind: parse(_exactly(str)(value, str))


def _mismatch(expected: str, value: object) -> DecodeError:
    return DecodeError(f"{expected!r} is declared and {type(value).__name__!r} was found")
