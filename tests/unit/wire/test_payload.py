"""The payload codec: typed values come back as they were, or are refused when first journaled."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.errors import DecodeError, PayloadTooLarge
from durable_core.wire.payload import UNTYPED, PayloadCodec

CODEC = PayloadCodec(1 << 20)
OrderNo = NewType("OrderNo", int)
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


@attrs.frozen
class Item:
    name: str
    cents: int
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Order:
    no: OrderNo
    items: list[Item]
    by_line: dict[int, Item]
    colour: Colour
    note: str | None = None
    total: decimal.Decimal = decimal.Decimal(0)


@dataclasses.dataclass
class Rush(Order):
    minutes: int = 0


class Point(NamedTuple):
    x: int
    y: float


class Options(TypedDict):
    deep: bool


ORDER = Order(
    OrderNo(7),
    [Item("cup", 250, frozenset({"a", "b"}))],
    {1: Item("cup", 250), -2: Item("pot", 1)},
    Colour.RED,
    None,
    decimal.Decimal("2.50"),
)


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (None, type(None)),
        (None, None),
        (True, bool),
        (2**200, int),
        (-(2**70), int),
        ("naïve", str),
        (b"\x00\xff", bytes),
        (1.25, float),
        (-0.0, float),
        (math.inf, float),
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ({1, 2}, set[int]),
        (frozenset({"a"}), frozenset[str]),
        ({1: "a", -100_000: "b"}, dict[int, str]),
        ({(1, 2): [Colour.BLUE]}, dict[tuple[int, int], list[Colour]]),
        (decimal.Decimal("-1.500"), decimal.Decimal),
        (uuid.UUID(int=1), uuid.UUID),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC), dt.datetime),
        (
            dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
            dt.datetime,
        ),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.datetime),  # noqa: DTZ001 - naive on purpose
        (dt.date(2026, 1, 2), dt.date),
        (dt.time(1, 2, 3), dt.time),
        (dt.timedelta(-1, 5, 7), dt.timedelta),
        (pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath),
        (Colour.BLUE, Colour),
        (Level.LOW, Level),
        ("red", Literal["red", "blue"]),
        (Item("cup", 1), Item),
        (ORDER, Order),
        ([ORDER, ORDER], list[Order]),
        (Point(1, 2.5), Point),
        ({"deep": True}, Options),
        (OrderNo(5), OrderNo),
        (5, Annotated[int, "metres"]),
        (5, int | str | None),
        ("5", int | str | None),
        (None, Item | None),
        (Item("cup", 1), Item | None),
        ([1, "a", None], list[int | str | None]),
        ({"a": [1, {"b": b"c"}]}, UNTYPED),
        ({"a": {1, 2}}, Any),
        ([uuid.UUID(int=3), decimal.Decimal(1)], object),
        ([1], TypeVar("T")),
    ],
)
def test_ec_16_live_and_replayed_values_are_equal(value: Any, as_type: Any) -> None:
    data, live = CODEC.settle(value, as_type)
    replayed = CODEC.decode(data, as_type)
    for restored in (live, replayed):
        assert restored == value
        assert type(restored) is type(value)
        # A repr tells 1 from 1.0 and -0.0 from 0.0; that of a set has no order of its own.
        assert repr(restored) == repr(value) or "{" in repr(value) or isinstance(value, dt.datetime)
    assert CODEC.encode(value, as_type) == data


def test_ec_16_nan_comes_back_as_nan() -> None:
    for value in (math.nan, decimal.Decimal("NaN")):
        data, live = CODEC.settle(value, type(value))
        assert live.__class__ is value.__class__
        assert str(CODEC.decode(data, type(value))) == str(live) == str(value)
    assert str(CODEC.settle([math.nan], UNTYPED)[1]) == "[nan]"


def test_a_declared_float_takes_an_int_and_a_sequence_another_sequence() -> None:
    assert repr(CODEC.settle(3, float)[1]) == "3.0"
    assert list(CODEC.settle([1, 2], Sequence[int])[1]) == [1, 2]


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (None, str),
        (1, str),
        ("1", int),
        (True, int),
        (1, bool),
        (1.0, int),
        ("x", bytes),
        (b"x", str),
        ("nan", float),
        (1, decimal.Decimal),
        ("2026-01-02", dt.date),
        ([1], dt.timedelta),
        (5, dt.datetime),
        ("green", Literal["red"]),
        ((1, 2), tuple[int, str]),
        ([1, "a"], list[int]),
        ({"deep": 1}, Options),
        (object(), object),
        ((1, 2), UNTYPED),
        (Colour.RED, UNTYPED),
        (Item("cup", 1), UNTYPED),
        (Item("cup", 1), Any),
        ([(1,)], UNTYPED),
        (Rush(OrderNo(1), [], {}, Colour.RED, minutes=3), Order),
        (type("Text", (str,), {})("x"), str),
        (Level.LOW, int),
        (decimal.Decimal("-0"), decimal.Decimal),
        (decimal.Decimal("sNaN"), decimal.Decimal),
        (1j, complex),
    ],
)
def test_ec_16_what_would_not_come_back_is_refused_when_first_journaled(
    value: Any,
    as_type: Any,
) -> None:
    with pytest.raises(DecodeError) as raised:
        CODEC.settle(value, as_type)
    assert raised.value.__cause__ is None


def test_no_refusal_shows_a_value() -> None:
    canary = "canary-19c2"
    for value, as_type in [
        (canary, int),
        ({"deep": canary}, Options),
        ([canary], list[bytes]),
        ((canary,), UNTYPED),
        (canary, Literal["red"]),
    ]:
        with pytest.raises(DecodeError) as raised:
            CODEC.settle(value, as_type)
        assert canary not in str(raised.value)
    with pytest.raises(DecodeError) as raised:
        CODEC.decode(CODEC.encode(canary, str), Colour)
    assert canary not in str(raised.value)


def test_ec_25_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    codec = PayloadCodec(100)
    fits = "x" * 98
    assert codec.decode(codec.encode(fits, str), str) == fits
    for as_type in (str, UNTYPED):
        with pytest.raises(PayloadTooLarge, match="101 encoded bytes exceeds max_payload_bytes"):
            codec.settle("x" * 99, as_type)
    with pytest.raises(PayloadTooLarge):
        codec.decode(b"\xff" * 101)


def test_other_fields_than_declared_are_refused_on_reading() -> None:
    written = CODEC.encode({"name": "cup", "cents": 1, "tags": set(), "more": 1}, UNTYPED)
    with pytest.raises(DecodeError, match="Item"):
        CODEC.decode(written, Item)


@given(st.binary(max_size=40))
def test_random_bytes_never_decode_to_half_an_order(data: bytes) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(data, Order)


class Moody:
    """A value that breaks every attempt to look at it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


def test_a_class_that_raises_is_refused_like_any_other() -> None:
    with pytest.raises(DecodeError):
        CODEC.settle(Moody(), Moody)
