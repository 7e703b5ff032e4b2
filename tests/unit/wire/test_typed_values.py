"""Classes, unions, zones and choices: what an annotation says comes back as it was (EC-16)."""

from __future__ import annotations

import datetime as dt
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Optional
from zoneinfo import ZoneInfo

import pytest
from typing_extensions import TypeAliasType

from durable_core.errors import DecodeError
from durable_core.wire.payload import PayloadCodec
from tests.declared import (
    AttrsBox,
    Box,
    Card,
    CardBox,
    Converted,
    Corner,
    Derived,
    Filter,
    FrozenDerived,
    Identity,
    Moody,
    Node,
    Place,
    Private,
    Query,
    Right,
    T,
    Untyped,
    Voucher,
    Word,
)

CODEC = PayloadCodec(1 << 20)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (Word.YES, Word),
        (FrozenDerived(1), FrozenDerived),
        (Moody(), Moody),
        ((1, 2), list[int] | tuple[int, ...]),
        ([1, 2], list[int] | tuple[int, ...]),
        ({1}, set[int] | frozenset[int]),
        (frozenset({1}), set[int] | frozenset[int]),
        (Box("a", []), Box[int] | Box[str]),
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


@pytest.mark.parametrize(
    ("value", "as_type", "tag"),
    [
        ([Card()], list[Card] | list[Voucher], "list[Card]"),
        ([None], list[Optional[int]] | list[str], "list[NoneType | int]"),  # noqa: UP045
        ([None], list[int | None] | list[str], "list[NoneType | int]"),
        ((1,), tuple[int, ...] | list[str], "tuple[int, ...]"),
        ((), tuple[()] | list[str], "tuple[()]"),
        (Box(1, []), Box[int] | Card, "Box[int]"),
        ("a", Literal["a", Word.NO] | Path, "Literal['a', Word.NO]"),
    ],
)
def test_ec_16_a_tag_is_the_same_in_every_process(value: Any, as_type: Any, tag: str) -> None:
    """No module, which is `__main__` in a script, and nothing that Python versions spell anew."""
    plain: Any = CODEC.decode(CODEC.encode(value, as_type))
    assert plain[0] == tag


def test_a_word_of_an_operator_may_spell_a_float_as_an_int() -> None:
    assert repr(CODEC.decode(CODEC.encode(3), float)) == "3.0"
    assert repr(CODEC.decode(CODEC.encode(3), float | None)) == "3.0"


def test_fields_that_were_added_with_a_default_take_it() -> None:
    assert CODEC.decode(CODEC.encode({"number": 5}), Card) == Card(5)


def test_an_alias_is_what_it_stands_for() -> None:
    """As the statement `type Numbers = list[int]` of Python 3.12 makes one."""
    Numbers = TypeAliasType("Numbers", list[int])  # noqa: N806 - it is a type
    assert CODEC.settle([1], Numbers)[1] == [1]
