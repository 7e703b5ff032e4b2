"""Classes of every kind that an annotation may name, for the tests of the payload codec."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from typing import ClassVar, Generic, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs

__all__ = [
    "AttrsBox",
    "Box",
    "Card",
    "CardBox",
    "Converted",
    "Corner",
    "Derived",
    "Filter",
    "FrozenDerived",
    "Identity",
    "Moody",
    "Node",
    "Place",
    "Private",
    "Query",
    "Right",
    "T",
    "Untyped",
    "Voucher",
    "Word",
]

T = TypeVar("T")


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Corner(enum.Enum):
    LOW = (0, 0)
    HIGH = (1, 1)


@attrs.frozen
class Card:
    number: int = 1
    holder: str = "a"


@attrs.frozen
class Voucher:
    number: int = 1
    holder: str = "a"


class Place(NamedTuple):
    name: str
    card: Card | None = None


class Query(TypedDict):
    text: str
    limit: NotRequired[int]


class Filter(TypedDict, total=False):
    field: Required[str]
    cards: list[Card]


@dataclasses.dataclass
class Node:
    SIZE: ClassVar[int] = 3
    value: float
    children: list[Node] = dataclasses.field(default_factory=list)
    parent: Node | None = None


@dataclasses.dataclass
class Box(Generic[T]):
    value: T
    more: list[T] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class CardBox(Box[Card]):
    label: str = ""


@attrs.define
class AttrsBox(Generic[T]):
    value: T


def as_tuple(items: Iterable[int]) -> tuple[int, ...]:
    return tuple(items)


@attrs.define
class Converted:
    items: tuple[int, ...] = attrs.field(converter=as_tuple)


@attrs.define
class Private:
    _seed: int
    total: int = attrs.field(init=False, default=3)


@attrs.define
class Untyped:
    anything = attrs.field()  # type: ignore[var-annotated]
    nothing: None = None


@dataclasses.dataclass
class Derived:
    base: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.double = self.base * 2


@attrs.define(eq=False)
class Identity:
    value: float


@attrs.frozen
class FrozenDerived:
    base: int
    double: int = attrs.field(init=False, default=3)


@attrs.define(eq=False)
class Moody:
    value: int = 1

    def __eq__(self, other: object) -> bool:
        if type(other) is not Moody:
            raise RuntimeError
        return self.value == other.value

    __hash__ = None  # type: ignore[assignment]
