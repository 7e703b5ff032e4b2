"""Plain data: what a journal carries without an annotation, and the rules for it.

Plain are None, bool, int, float, str, bytes, Decimal, UUID, date and aware datetime, lists and sets
of plain data, and dicts from plain hashable keys to plain data, at most `MAX_DEPTH` containers
deep. The types are meant exactly: a subclass would come back as its base.

The same check stands before every encoding and after every decoding, so that what is read is
what could have been written (INV-11). Its messages name types and places, never values (INV-5).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

__all__ = [
    "ATOMS",
    "MAX_DECIMAL_DIGITS",
    "MAX_DECIMAL_EXPONENT",
    "MAX_DEPTH",
    "UNTYPED",
    "Refused",
    "require_plain",
]

UNTYPED: Final[object] = Any
"""Stands for "no annotation". `typing.Any` and `object` mean the same."""

MAX_DEPTH: Final = 64
"""How many containers may stand inside each other."""

MAX_DECIMAL_DIGITS: Final = 4_000
"""The longest coefficient of a Decimal: below CPython's limit for turning text into int."""

MAX_DECIMAL_EXPONENT: Final = 1_000_026
"""The largest exponent, either sign, that the default decimal context makes (its Etiny)."""

ATOMS: Final[frozenset[type]] = frozenset({NoneType, bool, int, float, str, bytes, UUID, date})
"""Types whose every value is plain data, immutable, and comes back as it is."""

_SURE_KEYS: Final = ATOMS - {float}


class Refused(Exception):
    """A value, or bytes, do not follow the rules. Turned into `DecodeError` at the codec's edge.

    `reason` names types; `path` is where it happened, innermost place first.
    """

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = list(path)

    def at(self, place: str) -> Refused:
        """The same refusal, seen from one container further out."""
        self.path.append(place)
        return self

    def __str__(self) -> str:
        place = "".join(reversed(self.path))
        return f"{self.reason} (at {place})" if place else self.reason


def require_plain(value: object, depth: int = MAX_DEPTH) -> None:
    """`Refused` unless `value` is plain data, at most `depth` containers deep."""
    kind = type(value)
    if kind in ATOMS:
        return
    if kind is list or kind is dict or kind is set:
        if depth == 0:
            reason = f"containers are nested more than {MAX_DEPTH} deep"
            raise Refused(reason)
        if kind is dict:
            _require_dict(value, depth)  # type: ignore[arg-type] # its exact type was just tested
        elif kind is list:
            _require_list(value, depth)  # type: ignore[arg-type] # the same
        else:
            _require_keys(value, depth)  # type: ignore[arg-type] # the same
    elif kind is Decimal:
        _require_bounded(value)  # type: ignore[arg-type] # the same
    elif kind is datetime:
        _require_aware(value)  # type: ignore[arg-type] # the same
    else:
        raise Refused(_not_plain(kind))


def _require_list(items: list[object], depth: int) -> None:
    if ATOMS.issuperset(map(type, items)):
        return
    index = 0
    try:
        for index, item in enumerate(items):  # noqa: B007 - the place of what is refused
            require_plain(item, depth - 1)
    except Refused as refused:
        raise refused.at(f"[{index}]") from None


def _require_dict(mapping: dict[object, object], depth: int) -> None:
    _require_keys(mapping, depth)
    items = mapping.values()
    if ATOMS.issuperset(map(type, items)):
        return
    try:
        for item in items:
            require_plain(item, depth - 1)
    except Refused as refused:
        # Which item it was cannot be said: a key is data.
        raise refused.at("[…]") from None


def _require_keys(
    keys: dict[object, object] | set[object] | frozenset[object] | tuple[object, ...],
    depth: int,
) -> None:
    if _SURE_KEYS.issuperset(map(type, keys)):
        return
    for key in keys:
        _require_key(key, depth - 1)


def _require_key(key: object, depth: int) -> None:
    """Keys and set elements come back immutable, so here tuples and frozensets are plain."""
    kind = type(key)
    if kind is tuple or kind is frozenset:
        if depth == 0:
            reason = f"containers are nested more than {MAX_DEPTH} deep"
            raise Refused(reason)
        _require_keys(key, depth)  # type: ignore[arg-type] # its exact type was just tested
    elif kind is float or kind is Decimal:
        if key != key:  # noqa: PLR0124 - the test for NaN that holds for both
            reason = "NaN as a key or set element equals nothing, not even itself"
            raise Refused(reason)
        require_plain(key)
    elif kind in ATOMS or kind is datetime:
        require_plain(key)
    else:
        reason = f"{kind.__qualname__} is not plain data that can be a key or set element"
        raise Refused(reason)


def _require_bounded(value: Decimal) -> None:
    _, digits, exponent = value.as_tuple()
    if len(digits) > MAX_DECIMAL_DIGITS:
        reason = f"a Decimal has {len(digits)} digits; at most {MAX_DECIMAL_DIGITS} are kept"
        raise Refused(reason)
    if isinstance(exponent, int) and abs(exponent) > MAX_DECIMAL_EXPONENT:
        reason = f"a Decimal's exponent is beyond ±{MAX_DECIMAL_EXPONENT}"
        raise Refused(reason)


def _require_aware(value: datetime) -> None:
    if value.utcoffset() is None:
        reason = "a naive datetime is not plain data: give it a timezone, or annotate it"
        raise Refused(reason)


def _not_plain(kind: type) -> str:
    if kind is tuple or kind is frozenset:
        back = "list" if kind is tuple else "set"
        return (
            f"{kind.__qualname__} without an annotation would come back as {back}: annotate the "
            "parameter or return value with its full type"
        )
    return (
        f"{kind.__qualname__} is not plain data: annotate the parameter or return value with its "
        "type, or convert the value"
    )
