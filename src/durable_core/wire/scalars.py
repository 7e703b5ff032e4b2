"""Plans for values without parts. What does not fit is refused, never converted.

The exceptions are those where an annotation settles it: an int that is declared as float, and a
path that is declared by a base class.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

import cbor2

from durable_core.errors import DecodeError
from durable_core.wire.cbor import (
    LEAVES,
    dump,
    read_bytes,
    read_text,
    write_bytes,
    write_int,
    write_text,
)
from durable_core.wire.plan import Plan, misfit, require

__all__ = ["SCALARS", "path_plan"]

_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})


def _exactly(
    kind: type,
    write: Callable[[Any], bytes] = cbor2.dumps,
    read: Callable[[bytes], Any] | None = None,
) -> Plan:
    def encode(value: object) -> bytes:
        if type(value) is not kind:
            raise misfit(kind.__name__, value)
        return write(value)

    def lift(plain: object) -> object:
        return require(kind, plain)

    kinds = frozenset({kind})
    own = write if kind in LEAVES else None
    return Plan(kind.__name__, encode, lift, kinds, kinds, write=own, read=read)


def _encode_float(value: object) -> bytes:
    number = value
    if type(value) is int:
        number = float(value)
        if number != value:
            message = "float is declared and an int was found that no float is equal to"
            raise DecodeError(message)
    return cbor2.dumps(require(float, number), canonical=True)


def _lift_float(plain: object) -> object:
    # An operator's word on a step may spell a float as an int.
    return float(plain) if type(plain) is int else require(float, plain)


def _encode_decimal(value: object) -> bytes:
    number: decimal.Decimal = require(decimal.Decimal, value)
    if str(number) in _NOT_FINITE:
        # CBOR has no decimal form for these; the annotation brings them back.
        return cbor2.dumps(float(number), canonical=True)
    return dump(number)


def _lift_decimal(plain: object) -> object:
    if type(plain) is float and str(decimal.Decimal(plain)) in _NOT_FINITE:
        return decimal.Decimal(plain)
    return require(decimal.Decimal, plain)


SCALARS: Final[dict[object, Plan]] = {
    str: _exactly(str, write_text, read_text),
    int: _exactly(int, write_int),
    bytes: _exactly(bytes, write_bytes, read_bytes),
    **{kind: _exactly(kind) for kind in (type(None), bool, uuid.UUID, dt.date)},
    float: Plan("float", _encode_float, _lift_float, frozenset({float}), frozenset({float})),
    decimal.Decimal: Plan(
        "Decimal",
        _encode_decimal,
        _lift_decimal,
        frozenset({decimal.Decimal, float}),
        frozenset({decimal.Decimal}),
    ),
}
"""By annotation."""


def path_plan(kind: type[PurePath]) -> Plan:
    """A path as its text; it comes back as `kind` makes it."""
    name = kind.__qualname__

    def encode(value: object) -> bytes:
        if not isinstance(value, kind):
            raise misfit(name, value)
        return write_text(str(value))

    def lift(plain: object) -> PurePath:
        text: str = require(str, plain)
        return kind(text)

    kinds = frozenset({kind, type(kind("."))})
    return Plan(name, encode, lift, frozenset({str}), kinds, exact=False)
