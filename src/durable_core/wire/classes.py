"""Plans for classes with fields: attrs classes, dataclasses, NamedTuples and TypedDicts.

Only the very class fits, no subclass: its own fields would be lost. cattrs makes the instances;
whatever a class's own code changes on the way is found by looking at what came back.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import cbor2
from attrs import NOTHING, has
from cattrs import BaseConverter
from cattrs.gen import make_dict_structure_fn, override

from durable_core.errors import DecodeError
from durable_core.wire.cbor import MAP, dump, head
from durable_core.wire.containers import record_plan
from durable_core.wire.plan import Plan, misfit

__all__ = ["class_plan", "has_fields", "named_tuple_plan", "typed_dict_plan"]

_MAPS: Final = frozenset({dict, cbor2.frozendict})

PlanOf = Callable[[object], Plan]
"""Finds the plan of another annotation."""


def has_fields(kind: type) -> bool:
    """Whether `class_plan` has a plan for `kind`."""
    return has(kind) or hasattr(kind, "__dataclass_fields__")


def class_plan(kind: Any, plan_of: PlanOf, name: str, arguments: tuple[object, ...]) -> Plan:  # noqa: ANN401 - a class
    """Every field by its name, those that `__init__` does not take too.

    `arguments` are those of a generic class; where they are left out, they are untyped.
    """
    variables = getattr(kind, "__parameters__", ())
    given = arguments or (Any,) * len(variables)
    bound = _bound(kind, given)
    taken = _fields(kind)
    fields = {
        field: plan_of(_with_arguments(hint, bound)) for field, hint in _hints(kind, taken).items()
    }
    ordered = sorted((dump(field), field, plan.encode) for field, plan in fields.items())
    start = head(MAP, len(ordered))
    hooks: dict[str, Any] = {
        field: override(struct_hook=_hook(plan.lift))
        for field, plan in fields.items()
        if taken[field]
    }
    make = make_dict_structure_fn(
        kind[given] if variables else kind,
        BaseConverter(detailed_validation=False),
        _cattrs_forbid_extra_keys=True,
        _cattrs_use_linecache=False,
        **hooks,
    )
    late = {field: plan.lift for field, plan in fields.items() if not taken[field]}

    def lift(plain: Any) -> object:  # noqa: ANN401 - checked at once
        if type(plain) not in _MAPS:
            raise misfit(name, plain)
        made = make({field: part for field, part in plain.items() if field not in late}, kind)
        for field in late.keys() & plain.keys():
            # As `__init__` itself does it where the class is frozen.
            object.__setattr__(made, field, late[field](plain[field]))
        return made

    def encode(value: object) -> bytes:
        if type(value) is not kind:
            raise misfit(name, value)
        try:
            parts = [key + encode_one(getattr(value, field)) for key, field, encode_one in ordered]
        except AttributeError:
            message = f"a field of {name} has no value"
            raise DecodeError(message) from None
        return start + b"".join(parts)

    return Plan(name, encode, lift, frozenset({dict}), frozenset({kind}), exact=False)


def named_tuple_plan(kind: type[tuple[Any, ...]], plan_of: PlanOf) -> Plan:
    """Every field by its place."""
    names: tuple[str, ...] = getattr(kind, "_fields", ())
    items = [plan_of(hint) for hint in _hints(kind, names).values()]
    return record_plan(kind.__qualname__, items, kind)


def typed_dict_plan(kind: type, plan_of: PlanOf) -> Plan:
    """The keys that are there, the required ones among them, and no others."""
    name = kind.__qualname__
    hints = typing.get_type_hints(kind, include_extras=True)
    plans = {key: plan_of(hint) for key, hint in hints.items()}
    required = frozenset(key for key, hint in hints.items() if _is_required(kind, key, hint))
    ordered = sorted((dump(key), key, plan.encode) for key, plan in plans.items())

    def check(value: Any) -> None:  # noqa: ANN401 - checked at once
        if type(value) not in _MAPS or not required <= value.keys() <= plans.keys():
            raise misfit(name, value)

    def encode(value: dict[str, Any]) -> bytes:
        check(value)
        present = [(start, key, encode_one) for start, key, encode_one in ordered if key in value]
        parts = [start + encode_one(value[key]) for start, key, encode_one in present]
        return head(MAP, len(parts)) + b"".join(parts)

    def lift(plain: dict[str, Any]) -> dict[str, Any]:
        check(plain)
        return {key: plans[key].lift(value) for key, value in plain.items()}

    exact = all(plan.exact for plan in plans.values())
    return Plan(name, encode, lift, frozenset({dict}), frozenset({dict}), exact=exact)


def _fields(kind: type) -> dict[str, bool]:
    """The name of every field of an instance, and whether `__init__` takes it."""
    own = getattr(kind, "__attrs_attrs__", None)
    if own is None:
        own = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return {field.name: field.init for field in own}


def _hints(kind: type, names: Iterable[str]) -> dict[str, object]:
    """The resolved annotation of each field; one without is untyped."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, AttributeError, TypeError) as error:
        message = (
            f"the annotations of {kind.__qualname__} cannot be resolved ({type(error).__name__}); "
            "the types must be importable names of its module"
        )
        raise DecodeError(message) from None
    given = {field.name: field.type for field in getattr(kind, "__attrs_attrs__", ())}
    found = {name: hints.get(name, given.get(name, NOTHING)) for name in names}
    return {
        name: Any if hint is NOTHING or (hint is None and name not in hints) else hint
        for name, hint in found.items()
    }


def _bound(kind: Any, arguments: Sequence[object]) -> dict[object, object]:  # noqa: ANN401 - a class
    """What stands for each type variable of a generic class and of its generic bases."""
    bound = dict(zip(getattr(kind, "__parameters__", ()), arguments, strict=True))
    for base in getattr(kind, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if origin is not None and origin is not typing.Generic:
            inherited = [_with_arguments(argument, bound) for argument in typing.get_args(base)]
            bound.update(_bound(origin, inherited))
    return bound


def _with_arguments(hint: Any, arguments: Mapping[object, object]) -> object:  # noqa: ANN401 - any form
    """`hint` with a generic class's type variables replaced by its arguments."""
    if not arguments:
        return hint
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    free = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not free:
        return hint
    return hint[tuple(arguments.get(variable, variable) for variable in free)]


def _is_required(kind: Any, key: str, hint: object) -> bool:  # noqa: ANN401 - a TypedDict
    # `__required_keys__` does not see the markers where annotations are postponed.
    marker = typing.get_origin(hint)
    if marker in (typing.Required, typing.NotRequired):
        return marker is typing.Required
    return key in kind.__required_keys__


def _hook(lift: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda plain, _: lift(plain)
