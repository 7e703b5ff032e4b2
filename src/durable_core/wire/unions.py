"""Plans for unions: which member a value is meant for, and which one wrote what is read.

Members that CBOR tells apart (`int | str | None`, `Item | None`) are written as they are. Where two
members could write the same kind of data (`Card | Voucher`), every member but None is written as
the array [name, value].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from durable_core.errors import DecodeError
from durable_core.wire.cbor import ARRAY, head, write_text
from durable_core.wire.plan import Plan, misfit

__all__ = ["union_plan"]

_NONE: Final = frozenset({type(None)})
_PAIR: Final = head(ARRAY, 2)


def union_plan(members: Sequence[Plan]) -> Plan:
    """One of `members`; `DecodeError` where two of them have the same name."""
    # By name: which member takes an empty list must not depend on how the union is spelled.
    ordered = sorted(members, key=lambda member: member.name)
    name = " | ".join(member.name for member in ordered)
    if len({member.name for member in ordered}) < len(ordered):
        message = f"two types of the union {name} have the same name, so it cannot be journaled"
        raise DecodeError(message)
    shapes = [shape for member in ordered for shape in member.shapes]
    if len(set(shapes)) == len(shapes):
        return _told_apart(name, ordered)
    tagged = [member if member.shapes == _NONE else _tagged(member) for member in ordered]
    return Plan(
        name,
        _encoder(name, tagged),
        _tagged_lifter(name, ordered),
        frozenset({list}) | _NONE if any(m.shapes == _NONE for m in ordered) else frozenset({list}),
        _kinds(ordered),
        exact=all(member.exact for member in ordered),
    )


def _told_apart(name: str, members: Sequence[Plan]) -> Plan:
    lifters = {shape: member.lift for member in members for shape in member.shapes}
    # An operator's word on a step may spell a float as an int.
    if float in lifters:
        lifters.setdefault(int, lifters[float])
    # Where Python wants what cannot change, CBOR's containers are read as these.
    for shape, frozen in ((list, tuple), (set, frozenset)):
        if shape in lifters:
            lifters[frozen] = lifters[shape]

    def lift(plain: object) -> object:
        found = lifters.get(type(plain))
        if found is None:
            raise misfit(name, plain)
        return found(plain)

    return Plan(
        name,
        _encoder(name, members),
        lift,
        frozenset(shape for member in members for shape in member.shapes),
        _kinds(members),
        exact=all(member.exact for member in members),
    )


def _kinds(members: Sequence[Plan]) -> frozenset[type]:
    return frozenset(kind for member in members for kind in member.kinds)


def _encoder(name: str, members: Sequence[Plan]) -> Callable[[Any], bytes]:
    def encode(value: object) -> bytes:
        kind = type(value)
        meant = [member for member in members if kind in member.kinds]
        for member in (*meant, *(other for other in members if other not in meant)):
            try:
                return member.encode(value)
            except (DecodeError, ValueError, TypeError):
                continue  # it is meant for another member, or for none
        raise misfit(name, value)

    return encode


def _tagged(member: Plan) -> Plan:
    start = _PAIR + write_text(member.name)
    return Plan(
        member.name,
        lambda value: start + member.encode(value),
        member.lift,
        frozenset({list}),
        member.kinds,
        member.exact,
    )


def _tagged_lifter(name: str, members: Sequence[Plan]) -> Callable[[Any], Any]:
    lifters = {member.name: member.lift for member in members}
    nothing = any(member.shapes == _NONE for member in members)

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if plain is None and nothing:
            return None
        match plain:
            case (str() as tag, value) if tag in lifters:
                return lifters[tag](value)
            case _:
                raise misfit(name, plain)

    return lift
