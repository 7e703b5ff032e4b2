"""Plans for lists, tuples, sets and maps, whose annotation says which of a family comes back.

A list may stand where a tuple is declared and the reverse, and likewise for the two kinds of set;
an abstract annotation such as `Sequence[int]` takes every container of its family and gives back
the builtin one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import cbor2

from durable_core.wire.cbor import ARRAY, MAP, head, set_of
from durable_core.wire.plan import Plan, misfit

__all__ = ["map_plan", "record_plan", "sequence_plan", "set_plan"]

_LISTS: Final = frozenset({list, tuple})
_SETS: Final = frozenset({set, frozenset})
_MAPS: Final = frozenset({dict, cbor2.frozendict})


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def sequence_plan(
    name: str,
    item: Plan,
    make: Callable[[Any], Collection[Any]],
    *,
    abstract: bool,
) -> Plan:
    """Any number of items of one kind."""
    encode_item, lift_item = item.encode, item.lift
    leaves = None if item.write is None else item.kinds

    def encode(value: Any) -> bytes:  # noqa: ANN401 - checked at once
        if type(value) not in _LISTS and not (abstract and _is_sequence(value)):
            raise misfit(name, value)
        if leaves is not None and leaves.issuperset(map(type, value)):
            return cbor2.dumps(list(value))
        return head(ARRAY, len(value)) + b"".join(map(encode_item, value))

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if type(plain) not in _LISTS:
            raise misfit(name, plain)
        if leaves is not None and leaves.issuperset(map(type, plain)):
            return make(plain)
        return make(map(lift_item, plain))

    kinds = frozenset({list if make is list else tuple})
    return Plan(name, encode, lift, frozenset({list}), kinds, exact=item.exact)


def record_plan(name: str, items: Sequence[Plan], kind: type[tuple[Any, ...]]) -> Plan:
    """A tuple with a place for each item; `kind` is `tuple` or a NamedTuple."""
    encoders = [item.encode for item in items]
    lifters = [item.lift for item in items]
    start = head(ARRAY, len(items))
    make = getattr(kind, "_make", kind)
    taken = _LISTS if kind is tuple else frozenset({kind})

    def encode(value: Any) -> bytes:  # noqa: ANN401 - checked at once
        if type(value) not in taken or len(value) != len(encoders):
            raise misfit(name, value)
        parts = zip(encoders, value, strict=True)
        return start + b"".join([encode_item(part) for encode_item, part in parts])

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if type(plain) not in _LISTS or len(plain) != len(lifters):
            raise misfit(name, plain)
        parts = zip(lifters, plain, strict=True)
        return make([lift_item(part) for lift_item, part in parts])

    exact = kind is tuple and all(item.exact for item in items)
    return Plan(name, encode, lift, frozenset({list}), frozenset({kind}), exact=exact)


def set_plan(
    name: str,
    item: Plan,
    make: Callable[[Any], Collection[Any]],
    *,
    abstract: bool,
) -> Plan:
    """Any number of different items of one kind."""

    def encode(value: Any) -> bytes:  # noqa: ANN401 - checked at once
        if type(value) not in _SETS and not (abstract and isinstance(value, AbstractSet)):
            raise misfit(name, value)
        return set_of(map(item.encode, value), len(value))

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if type(plain) not in _SETS:
            raise misfit(name, plain)
        lifted = make(map(item.lift, plain))
        if len(lifted) != len(plain):
            raise misfit(name, plain)
        return lifted

    kinds = frozenset({set if make is set else frozenset})
    return Plan(name, encode, lift, frozenset({set}), kinds, exact=item.exact)


def map_plan(name: str, key: Plan, item: Plan, *, abstract: bool) -> Plan:
    """Keys of one kind with items of one kind; it comes back as a `dict` in the order of bytes."""
    encode_key, encode_item = key.encode, item.encode

    def encode(value: Any) -> bytes:  # noqa: ANN401 - checked at once
        if type(value) is not dict and not (abstract and isinstance(value, Mapping)):
            raise misfit(name, value)
        pairs = {encode_key(one): encode_item(other) for one, other in value.items()}
        if len(pairs) != len(value):
            raise misfit(name, value)
        ordered = sorted(pairs.items())
        return head(MAP, len(ordered)) + b"".join([one + other for one, other in ordered])

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if type(plain) not in _MAPS:
            raise misfit(name, plain)
        lifted = {key.lift(one): item.lift(other) for one, other in plain.items()}
        if len(lifted) != len(plain):
            raise misfit(name, plain)
        return lifted

    exact = key.exact and item.exact
    return Plan(name, encode, lift, frozenset({dict}), frozenset({dict}), exact=exact)
