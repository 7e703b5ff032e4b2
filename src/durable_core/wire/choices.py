"""Plans for one of a few values: enums and literals."""

from __future__ import annotations

import enum

import cbor2

from durable_core.errors import DecodeError
from durable_core.wire.cbor import dump
from durable_core.wire.plan import Plan, misfit

__all__ = ["enum_plan", "literal_plan"]


def enum_plan(kind: type[enum.Enum]) -> Plan:
    """A member by its value where all values are ints and texts that differ, else by its name."""
    by_value = {type(member.value) for member in kind} <= {int, str}
    written = {member: member.value if by_value else member.name for member in kind}
    members = {(type(plain), plain): member for member, plain in written.items()}
    name = kind.__qualname__

    def encode(value: object) -> bytes:
        if not isinstance(value, kind) or type(value) is not kind:
            raise misfit(name, value)
        # A combination of flags is no member of its own.
        return cbor2.dumps(written.get(value, value.value))

    def lift(plain: object) -> enum.Enum:
        member = members.get((type(plain), plain))
        if member is None and type(plain) is int and issubclass(kind, enum.Flag):
            member = kind(plain)
        if member is None:
            raise misfit(name, plain)
        return member

    shapes = frozenset(type(plain) for plain in written.values())
    return Plan(name, encode, lift, shapes, frozenset({kind}))


def literal_plan(values: tuple[object, ...]) -> Plan:
    """One of `values`, told apart by type as well: `Literal[1]` takes no True.

    `DecodeError` where two of them are written alike, a member of an enum and its value, say.
    """
    name = f"Literal[{', '.join(map(_spelled, values))}]"
    plains = [_plain(value) for value in values]
    encoded = {
        (type(value), value): dump(plain) for value, plain in zip(values, plains, strict=True)
    }
    by_plain = {(type(plain), plain): value for value, plain in zip(values, plains, strict=True)}

    if len(by_plain) < len(encoded):
        message = f"two values of {name} are written alike, so it cannot be journaled"
        raise DecodeError(message)

    def encode(value: object) -> bytes:
        found = encoded.get((type(value), value))
        if found is None:
            raise misfit(name, value)
        return found

    def lift(plain: object) -> object:
        place = type(plain), plain
        if place not in by_plain:
            raise misfit(name, plain)
        return by_plain[place]

    shapes = frozenset(map(type, plains))
    return Plan(name, encode, lift, shapes, frozenset(map(type, values)))


def _spelled(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    return repr(value)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return cbor2.loads(enum_plan(type(value)).encode(value))
    return value
