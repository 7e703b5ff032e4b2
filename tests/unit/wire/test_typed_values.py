"""Classes, unions, zones and choices: what an annotation says comes back as it was (EC-16)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)
from zoneinfo import ZoneInfo

import attrs
import pytest
from typing_extensions import TypeAliasType

from durable_core.errors import DecodeError
from durable_core.wire.call import CallShape, join
from durable_core.wire.cbor import DEEPEST
from durable_core.wire.payload import PayloadCodec

CODEC = PayloadCodec(1 << 20)
BERLIN = ZoneInfo("Europe/Berlin")
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


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (Word.YES, Word),
        (Right.READ | Right.WRITE, Right),
        (Right(0), Right),
        (Corner.HIGH, Corner),
        (Word.NO, Literal[Word.NO]),
        (1, Literal[1, True]),
        (True, Literal[1, True]),
        ({Word.YES: 1}, dict[Word, int]),
        ({Card(1), Card(2)}, set[Card]),
        (frozenset({frozenset({1})}), frozenset[frozenset[int]]),
        ({Card(3): Voucher()}, dict[Card, Voucher]),
        ({(1, "a"): {2}}, dict[tuple[int, str], set[int]]),
        ({"a": [1, {"b": None}]}, dict[str, object]),
        ([1, "x", {"y": None}], list[object]),
        (Place("x", Card()), Place),
        ({"text": "q"}, Query),
        ({"text": "q", "limit": 3}, Query),
        ({"field": "f", "cards": [Card()]}, Filter),
        ({"field": "f"}, Filter),
        (Node(1.0, [Node(2.5)], Node(0.0)), Node),
        (Box(1, [2]), Box[int]),
        (Box(Card(), [Card(2)]), Box[Card]),
        (Box("plain"), Box),
        (CardBox(Card(), [Card(4)], "x"), CardBox),
        (AttrsBox([Card()]), AttrsBox[list[Card]]),
        (Converted((1, 2)), Converted),
        (Private(1), Private),
        (Untyped([1]), Untyped),
        (Derived(4), Derived),
        (Card(), Card | Voucher),
        (Voucher(2), Card | Voucher | None),
        (None, Card | Voucher | None),
        ("x", Word | str),
        (Word.YES, Word | str),
        (1, int | float),
        (1.0, int | float),
        ([], list[int] | list[str]),
        (["a"], list[str] | list[int]),
        ({"k": [None, Card()]}, dict[str, list[Card | None]] | None),
        (Decimal("1.50"), Decimal | float),
        ({(1, 2)}, set[tuple[int, int] | int]),
        ({frozenset({1})}, set[frozenset[int] | int]),
        ((), tuple[()]),
        ((1, "a"), tuple),
        ([1], list),
        ({1: 2}, dict),
        ({1}, set),
        (5, Final[int]),
        (Path("a/b"), Path),
        (dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), dt.datetime),
        (dt.datetime(2026, 7, 1, tzinfo=BERLIN), dt.datetime | None),
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=5))), dt.datetime),
        (dt.time(1, 2, tzinfo=dt.UTC), dt.time),
        ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], list[dt.datetime]),
        ([True, False], list[bool]),
        (1, T),
    ],
)
def test_ec_16_what_an_annotation_declares_comes_back(value: Any, as_type: Any) -> None:
    data, live = CODEC.settle(value, as_type)
    replayed = CODEC.decode(data, as_type)
    for restored in (live, replayed):
        assert restored == value
        assert type(restored) is type(value)
    assert CODEC.encode(value, as_type) == data


@pytest.mark.parametrize(
    ("value", "as_type", "restored"),
    [
        ((1, 2), Sequence[int], [1, 2]),
        (range(3), Iterable[int], [0, 1, 2]),
        ({1: 2}.keys(), AbstractSet[int], frozenset({1})),
        (OrderedDict(a=1), Mapping[str, int], {"a": 1}),
        ((1,), list[Any], [1]),
        ([1], tuple[int, ...], (1,)),
    ],
)
def test_ec_16_the_annotation_says_which_container_comes_back(
    value: Any,
    as_type: Any,
    restored: Any,
) -> None:
    assert repr(CODEC.settle(value, as_type)[1]) == repr(restored)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("zone", [None, BERLIN])
def test_ec_16_the_second_of_two_equal_times_stays_the_second(
    fold: int,
    zone: dt.tzinfo | None,
) -> None:
    moment = dt.datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=fold)
    restored = CODEC.settle(moment, dt.datetime)[1]
    assert (restored, restored.fold, restored.utcoffset()) == (moment, fold, moment.utcoffset())


class Elsewhere(dt.tzinfo):
    """A foreign time zone class: an offset that is whole minutes, or seconds."""

    def __init__(self, offset: dt.timedelta) -> None:
        self._offset = offset

    def utcoffset(self, _when: dt.datetime | None) -> dt.timedelta:
        return self._offset

    def dst(self, _when: dt.datetime | None) -> None:
        return None

    def tzname(self, _when: dt.datetime | None) -> str:
        return "elsewhere"


def test_a_foreign_zone_comes_back_as_its_offset_or_is_refused() -> None:
    hours = dt.datetime(2026, 1, 1, tzinfo=Elsewhere(dt.timedelta(hours=3)))
    assert CODEC.settle(hours, dt.datetime)[1] == hours
    seconds = hours.replace(tzinfo=Elsewhere(dt.timedelta(seconds=3)))
    with pytest.raises(DecodeError, match="use zoneinfo"):
        CODEC.encode(seconds, dt.datetime)


def test_ec_16_what_is_not_equal_to_itself_is_compared_by_its_bytes() -> None:
    for value, as_type in (([math.nan], list[float]), (Identity(math.nan), Identity)):
        data, live = CODEC.settle(value, as_type)
        assert CODEC.encode(live, as_type) == data


class Card2(Card):
    """A subclass, whose own fields a `Card` would lose."""


@attrs.frozen
class FrozenDerived:
    base: int
    double: int = attrs.field(init=False, default=3)


@dataclasses.dataclass
class Growing:
    size: int

    def __post_init__(self) -> None:
        self.size += 1


@attrs.define(eq=False)
class Moody:
    value: int = 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass
class Emptied:
    value: int

    def __post_init__(self) -> None:
        del self.value


@dataclasses.dataclass
class Inwards(Generic[T]):
    inner: Inwards[list[T]] | None = None


@dataclasses.dataclass
class Missing:
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


def other_card() -> Any:
    return attrs.make_class("Card", {"number": attrs.field(type=int)})


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (Card2(), Card),
        (FrozenDerived(1), FrozenDerived),
        (Growing(1), Growing),
        (Emptied(1), Emptied),
        (Moody(), Moody),
        (Inwards(), Inwards[int]),
        (None, Missing),
        (Card(holder=1), Card),  # type: ignore[arg-type]
        (object(), Card | Voucher),
        (True, int | str),
        (True, Literal[1]),
        ([(1,)], list[Any]),
        ("yes", Word),
        (Word.YES, str),
        ({1: 2}, dict[str, int]),
        (OrderedDict(a=1), dict[str, int]),
        ("ab", Sequence[str]),
        ({"limit": 3}, Query),
        ({"text": "q", "more": 1}, Query),
        ((1, 2, 3), tuple[int, int]),
        ((1, "a"), Place),
        ({1, 1.5}, set[int]),
        ([1], set[int]),
        ("a", Path),
        (2**53 + 1, float),
        (10**400, float),
        (Decimal("-0"), Decimal),
        (Decimal("1E+6145"), Decimal),
        ("\ud800", str),
        (["\ud800"], list[str]),
        (dt.time(1, fold=1), dt.time),
        (dt.time(1, tzinfo=BERLIN), dt.time),
        (dt.datetime(2026, 1, 1), Any),  # noqa: DTZ001 - naive on purpose
        (1j, complex),
        (None, NoReturn),
        (Card(), Card | other_card()),
    ],
)
def test_ec_16_what_would_be_lost_is_refused_when_first_journaled(value: Any, as_type: Any) -> None:
    for attempt in (CODEC.settle, CODEC.encode):
        with pytest.raises(DecodeError):
            attempt(value, as_type)


@attrs.frozen(eq=False)
class Faceless:
    value: int = 1


def test_two_items_with_one_encoding_are_refused() -> None:
    with pytest.raises(DecodeError):
        CODEC.encode({Faceless(), Faceless()}, set[Faceless])
    with pytest.raises(DecodeError):
        CODEC.encode({Faceless(): 1, Faceless(): 2}, dict[Faceless, int])


@pytest.mark.parametrize(
    ("written", "as_type"),
    [
        ({"number": 1, "holder": "a", "more": 1}, Card),
        ({"number": 1}, Missing),
        ([1], Card),
        ({}, Box[int]),
        ({"limit": 1}, Query),
        (["x"], Place),
        (["Nobody", 1], Card | Voucher),
        (None, Card | Voucher),
        ("maybe", Word),
        (4.0, Right),
        (1.0, Literal[1]),
        (True, Literal[1]),
        (b"x", int | str),
        ("x", list[int]),
        ([1, 1], set[int]),
        ({1: 2}, dict[str, int]),
        ([1], dict[str, int]),
        ([1, 2], dt.timedelta),
        (1, dt.datetime),
        (1, dt.time),
        ("2026-01-01T00:00:00+00:00[No/Where]", dt.datetime),
        (1.5, Decimal),
        ("x", float),
        (1, Path),
    ],
)
def test_ec_17_plain_data_of_another_type_is_refused_on_reading(written: Any, as_type: Any) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode(written), as_type)


def test_a_word_of_an_operator_may_spell_a_float_as_an_int() -> None:
    assert repr(CODEC.decode(CODEC.encode(3), float)) == "3.0"
    assert repr(CODEC.decode(CODEC.encode(3), float | None)) == "3.0"


def test_fields_that_were_added_with_a_default_take_it() -> None:
    assert CODEC.decode(CODEC.encode({"number": 5}), Card) == Card(5)


def nought(_: int) -> int:
    return 0


@attrs.frozen
class Rounded:
    """All of its instances are equal."""

    number: int = attrs.field(converter=nought)
    holder: str


def test_items_that_become_equal_are_no_set_and_no_map() -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode({Card(1), Card(2)}, set[Card]), set[Rounded])
    with pytest.raises(DecodeError):
        CODEC.decode(CODEC.encode({Card(1): 1, Card(2): 2}, dict[Card, int]), dict[Rounded, int])


def test_an_alias_is_what_it_stands_for() -> None:
    """As the statement `type Numbers = list[int]` of Python 3.12 makes one."""
    Numbers = TypeAliasType("Numbers", list[int])  # noqa: N806 - it is a type
    assert CODEC.settle([1], Numbers)[1] == [1]


def test_a_type_that_cannot_be_asked_about_itself_is_refused() -> None:
    with pytest.raises(DecodeError, match="cannot be journaled") as raised:
        CODEC.encode(None, Inwards[int])
    assert isinstance(raised.value.__cause__, RecursionError)


def test_arguments_may_be_as_deep_as_any_value() -> None:
    """The array of all arguments, around them, does not count."""
    deepest: list[Any] = []
    for _ in range(DEEPEST - 1):
        deepest = [deepest]
    shape = CallShape.of(takes_anything)
    data = join(shape.encode_each(CODEC, (deepest,)))
    assert shape.decode(CODEC, data) == ((deepest,), {})
    for value, as_type in (([deepest], Any), ([deepest], list[Any])):
        with pytest.raises(DecodeError):
            CODEC.encode(value, as_type)


def takes_anything(value: Any) -> None:
    raise AssertionError(value)
