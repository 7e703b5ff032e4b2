"""From an annotation to its plan: what can be journaled, and what cannot."""

from __future__ import annotations

import enum
import threading
import types
import typing
from collections import abc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any, Final

from durable_core.errors import DecodeError
from durable_core.wire.cbor import LEAVES, dump
from durable_core.wire.choices import enum_plan, literal_plan
from durable_core.wire.classes import class_plan, has_fields, named_tuple_plan, typed_dict_plan
from durable_core.wire.containers import map_plan, record_plan, sequence_plan, set_plan
from durable_core.wire.moments import MOMENTS
from durable_core.wire.plan import Plan
from durable_core.wire.scalars import SCALARS, path_plan
from durable_core.wire.unions import union_plan

__all__ = ["Planner"]

_FIXED: Final[dict[object, Plan]] = {**SCALARS, **MOMENTS}

_SHAPES: Final = frozenset({list, dict, set}).union(*(plan.shapes for plan in _FIXED.values()))

_PLAIN: Final = Plan("plain data", dump, lambda plain: plain, _SHAPES, LEAVES, exact=False)
"""The plan of values without an annotation, and of those that may be anything."""

_WRAPPERS: Final = frozenset(
    {typing.Annotated, typing.Final, typing.Required, typing.NotRequired},
)
"""Forms whose first argument is what counts."""

_UNIONS: Final = (typing.Union, types.UnionType)

_CONTAINERS: Final[dict[object, Callable[..., Plan]]] = {
    list: partial(sequence_plan, make=list, abstract=False),
    abc.Sequence: partial(sequence_plan, make=list, abstract=True),
    abc.MutableSequence: partial(sequence_plan, make=list, abstract=True),
    abc.Collection: partial(sequence_plan, make=list, abstract=True),
    abc.Iterable: partial(sequence_plan, make=list, abstract=True),
    set: partial(set_plan, make=set, abstract=False),
    frozenset: partial(set_plan, make=frozenset, abstract=False),
    abc.Set: partial(set_plan, make=frozenset, abstract=True),
    abc.MutableSet: partial(set_plan, make=set, abstract=True),
    dict: partial(map_plan, abstract=False),
    abc.Mapping: partial(map_plan, abstract=True),
    abc.MutableMapping: partial(map_plan, abstract=True),
}
"""What takes the plans of its parts: one for items, two for a map."""

_BARE_TUPLES: Final = (tuple, typing.Tuple)  # noqa: UP006 - as old annotations spell it

_MAPPINGS: Final = frozenset({dict, abc.Mapping, abc.MutableMapping})


class Planner:
    """Makes each plan once and keeps it. Safe to use from any thread."""

    def __init__(self) -> None:
        self.plans: dict[object, Plan] = {
            **_FIXED,
            None: _FIXED[type(None)],
            typing.Any: _PLAIN,
            object: _PLAIN,
        }
        """Those that were made, by their annotations."""

        self._under_way: dict[object, Plan] = {}
        self._lock = threading.RLock()

    def plan_of(self, annotation: object) -> Plan:
        """The plan of `annotation`; `DecodeError` for one whose values cannot be journaled."""
        try:
            return self.plans[annotation]
        except (KeyError, TypeError):  # unknown yet, or with metadata that cannot be hashed
            pass
        with self._lock:
            inner = _behind(annotation)
            if inner is not None:
                return self.plan_of(inner)
            under_way = self._under_way.get(annotation)
            if under_way is not None:
                return under_way
            plan = self.plans[annotation] = self._made(annotation)
            return plan

    def _made(self, annotation: object) -> Plan:
        origin: Any = typing.get_origin(annotation) or annotation
        arguments = typing.get_args(annotation)
        if origin is typing.Literal:
            return literal_plan(arguments)
        if origin in _UNIONS:
            return union_plan([self.plan_of(member) for member in arguments])
        if origin is tuple:
            return self._of_tuple(annotation, arguments)
        if origin in _CONTAINERS:
            parts = arguments or (typing.Any,) * (2 if origin in _MAPPINGS else 1)
            plans = [self.plan_of(part) for part in parts]
            return _CONTAINERS[origin](_with_parts(origin, plans), *plans)
        if isinstance(origin, type):
            return self._of_class(annotation, origin, arguments)
        raise _unknown(annotation)

    def _of_tuple(self, annotation: object, arguments: tuple[Any, ...]) -> Plan:
        if not arguments and annotation in _BARE_TUPLES:
            arguments = (typing.Any, ...)
        match arguments:
            case (item, last) if last is ...:
                plan = self.plan_of(item)
                return sequence_plan(f"tuple[{plan.name}, ...]", plan, tuple, abstract=False)
            case _:
                plans = [self.plan_of(item) for item in arguments]
                return record_plan(_with_parts(tuple, plans), plans, tuple)

    def _of_class(self, annotation: object, kind: Any, arguments: tuple[Any, ...]) -> Plan:  # noqa: ANN401 - a class
        if issubclass(kind, enum.Enum):
            return enum_plan(kind)
        if issubclass(kind, PurePath):
            return path_plan(kind)
        if typing.is_typeddict(kind):
            return self._recursive(annotation, kind, dict, typed_dict_plan)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return self._recursive(annotation, kind, list, named_tuple_plan)
        if has_fields(kind):
            name = kind.__qualname__
            if arguments:
                name = _with_parts(kind, [self.plan_of(part) for part in arguments])
            make = partial(class_plan, name=name, arguments=arguments)
            return self._recursive(annotation, kind, dict, make, name)
        raise _unknown(annotation)

    def _recursive(
        self,
        annotation: object,
        kind: type,
        shape: type,
        make: Callable[[type, Callable[[object], Plan]], Plan],
        name: str | None = None,
    ) -> Plan:
        """What `make` makes of `kind`, whose fields may refer to the annotation itself."""
        made: list[Plan] = []

        def encode(value: object) -> bytes:
            return made[0].encode(value)

        def lift(plain: object) -> object:
            return made[0].lift(plain)

        self._under_way[annotation] = Plan(
            name or kind.__qualname__,
            encode,
            lift,
            frozenset({shape}),
            frozenset({kind}),
            exact=False,
        )
        try:
            made.append(make(kind, self.plan_of))
        finally:
            del self._under_way[annotation]
        return made[0]


def _behind(annotation: Any) -> object:  # noqa: ANN401 - annotations have many forms
    """The annotation that counts in place of this one; None where it counts itself."""
    if typing.get_origin(annotation) in _WRAPPERS:
        return typing.get_args(annotation)[0]
    if isinstance(annotation, typing.NewType):
        return annotation.__supertype__
    if isinstance(annotation, typing.TypeVar):
        return typing.Any
    # `type X = ...`, since Python 3.12
    return annotation.__value__ if type(annotation).__name__ == "TypeAliasType" else None


def _with_parts(origin: type, parts: Sequence[Plan]) -> str:
    """The annotation as a union's tag: the same in every process, and for every spelling."""
    return f"{origin.__qualname__}[{', '.join(part.name for part in parts) or '()'}]"


def _name_of(annotation: object) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def _unknown(annotation: object) -> DecodeError:
    return DecodeError(
        f"{_name_of(annotation)} is no type that can be journaled; use plain data, attrs classes, "
        "dataclasses, NamedTuples, TypedDicts or enums",
    )
