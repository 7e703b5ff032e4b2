"""What an annotation cannot bring back is refused: when it is first journaled, or when read."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn
from zoneinfo import ZoneInfo

import attrs
import pytest

from durable_core.errors import DecodeError
from durable_core.wire.call import CallShape, join
from durable_core.wire.cbor import DEEPEST
from durable_core.wire.payload import PayloadCodec
from tests.declared import Box, Card, Place, Query, Right, T, Voucher, Word

CODEC = PayloadCodec(1 << 20)
BERLIN = ZoneInfo("Europe/Berlin")


class Card2(Card):
    """A subclass, whose own fields a `Card` would lose."""


@dataclasses.dataclass
class Growing:
    size: int

    def __post_init__(self) -> None:
        self.size += 1


@dataclasses.dataclass
class Forgetful:
    value: int
    kept: list[int] = dataclasses.field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        self.kept = []


@dataclasses.dataclass
class Warped:
    value: object

    def __post_init__(self) -> None:
        self.value = object()


def warped() -> Warped:
    made = Warped(1)
    made.value = 1
    return made


def forgetful(kept: list[int]) -> Forgetful:
    made = Forgetful(1)
    made.kept = kept
    return made


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
        (Growing(1), Growing),
        (Emptied(1), Emptied),
        (forgetful([1]), Forgetful),
        (warped(), Warped),
        (Word.YES, Literal[Word.YES, "yes"]),
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


def test_a_type_that_cannot_be_asked_about_itself_is_refused() -> None:
    with pytest.raises(DecodeError, match="cannot be journaled") as raised:
        CODEC.encode(None, Inwards[int])
    assert isinstance(raised.value.__cause__, RecursionError)


def test_arguments_may_be_as_deep_as_any_value() -> None:
    """The array of all arguments, around them, does not count."""
    deepest: list[Any] = [1]
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
