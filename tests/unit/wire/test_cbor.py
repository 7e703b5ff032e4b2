"""Plain data as CBOR: one encoding for each value, and nothing else is read."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import subprocess
import sys
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.errors import DecodeError
from durable_core.wire.cbor import (
    DEEPEST,
    dump,
    head,
    load,
    read_bytes,
    read_text,
    write_bytes,
    write_int,
    write_text,
)

KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.uuids()
ATOMS = (
    KEYS
    | st.floats()
    | st.dates()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other) if isinstance(one, float) else bool(one == other)


@given(PLAIN)
def test_what_is_written_is_read_and_written_again_alike(value: Any) -> None:
    data = dump(value)
    assert dump(load(data)) == data


@given(st.dictionaries(KEYS, st.integers(), max_size=8))
def test_the_order_of_a_map_is_that_of_its_encoded_keys(value: dict[Any, int]) -> None:
    """RFC 8949, section 4.2.1: bytewise lexicographic order of the encoded keys."""
    data = dump(value)
    assert dump(dict(reversed(value.items()))) == data
    rest, keys = data[len(head(0xA0, len(value))) :], []
    while rest:
        ordered = sorted(value, key=len_of_match(rest))
        key = ordered[-1]
        keys.append(dump(key))
        rest = rest[len(dump(key)) + len(dump(value[key])) :]
    assert keys == sorted(keys)


def len_of_match(rest: bytes) -> Any:
    return lambda key: len(dump(key)) if rest.startswith(dump(key)) else -1


def test_keys_of_several_kinds_are_ordered_bytewise_not_by_length() -> None:
    """`-1` is one byte (20) and `100000` five (1a…): the library's own order is the other one."""
    assert dump({-1: 0, 100_000: 1}).hex() == "a21a000186a0012000"
    assert cbor2.dumps({-1: 0, 100_000: 1}, canonical=True).hex() == "a220001a000186a001"
    assert dump({-1, 100_000}).hex() == "d90102821a000186a020"
    assert dump([{-1: {"b": 0, "aa": 1}, 1: {}}]).hex() == "81a201a020a261620062616101"


def test_equal_values_have_equal_bytes_in_processes_with_other_hash_seeds() -> None:
    """EC-16: hash randomisation reorders sets and must not reorder their encoding."""
    program = (
        "from durable_core.wire.payload import dump\n"
        "print(dump([{'b', 'a', 'ccc'}, {'x': 1, 'aa': {1, -1}}, {frozenset({b'q', 'q'})}]).hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3", "77")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, "f93e00"),
        (math.nan, "f97e00"),
        (-0.0, "f98000"),
        (0.1, "fb3fb999999999999a"),
        (2**64, "c249010000000000000000"),
        (decimal.Decimal("1.10"), "c48221186e"),
        (uuid.UUID(int=5), "d82550" + "00" * 15 + "05"),
        (dt.date(2020, 1, 1), "d903ec6a323032302d30312d3031"),
        ([1, [2]], "82018102"),
        ({(1, (2,))}, "d901028182018102"),
        ({frozenset({1}): [2]}, "a1d9010281018102"),
    ],
)
def test_shortest_forms(value: object, expected: str) -> None:
    assert dump(value).hex() == expected


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        dt.datetime(2020, 1, 1),  # noqa: DTZ001 - naive on purpose
        dt.time(1),
        range(3),
        {"a": [object()]},
        bytearray(b"x"),
        "\ud800",
        type("Text", (str,), {})("x"),
        (1, 2),
        [frozenset({1})],
        {"a": (1,)},
        dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
)
def test_what_is_not_plain_is_refused_by_its_type(value: object) -> None:
    with pytest.raises(DecodeError, match="type"):
        dump(value)


@pytest.mark.parametrize("text", ["-0", "NaN", "-Infinity", "1E+6145", "1E-6145"])
def test_a_decimal_that_would_not_come_back_or_could_take_all_memory_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="decimal"):
        dump(decimal.Decimal(text))
    largest = decimal.Decimal("-7E+6144")
    assert load(dump(largest)) == largest


def test_a_zone_comes_back_as_the_offset_of_the_moment() -> None:
    moment = dt.datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    restored = load(dump(moment))
    assert restored == moment
    assert restored.tzinfo == dt.timezone(dt.timedelta(hours=2))


def nested(depth: int, innermost: Any = ()) -> Any:
    value: Any = innermost or []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth_is_bounded_in_both_directions() -> None:
    for innermost in ([], [1], {"a": b"x"}):
        assert load(dump(nested(DEEPEST, innermost))) == nested(DEEPEST, innermost)
    with pytest.raises(DecodeError, match="containers"):
        dump(nested(DEEPEST + 1))
    with pytest.raises(DecodeError):
        load(b"\x81" * (DEEPEST + 1) + b"\x80")
    with pytest.raises(DecodeError):
        load(b"\x81" * 100_000)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "nothing at all"),
        ("0102", "trailing bytes"),
        ("8101ff", "trailing break"),
        ("1801", "a long form of 1"),
        ("9f01ff", "an indefinite array"),
        ("5f4101ff", "an indefinite string"),
        ("a201010102", "a duplicate key"),
        ("a202010102", "keys out of order"),
        ("d81c8101", "a shared value"),
        ("82d81c81d81d0000", "a shared reference"),
        ("d9010083616161616161", "a string reference namespace"),
        ("c11a00000000", "an epoch time"),
        ("d9d9f701", "the self-description tag"),
        ("d8236161", "a regular expression"),
        ("d81e820103", "a fraction"),
        ("d82460", "a MIME message"),
        ("d9010482f601", "an IP address"),
        ("c58201187b", "a bigfloat"),
        ("d9a7f8820102", "a complex number"),
        ("d903e801", "an unknown tag"),
        ("f7", "undefined"),
        ("e0", "a simple value"),
        ("9b7fffffffffffffff", "a huge array"),
        ("5b7fffffffffffffff", "a huge string"),
        ("c4821b7fffffffffffffff01", "a huge exponent"),
        ("61ff", "text that is no UTF-8"),
        ("fb3ff8000000000000", "a long form of 1.5"),
        ("d90102820202", "a set with a repeated element"),
    ],
)
def test_ec_17_bytes_that_this_format_does_not_write_are_refused(data: str, what: str) -> None:
    with pytest.raises(DecodeError):
        load(bytes.fromhex(data))
    assert what


@given(st.binary(max_size=60))
def test_any_bytes_decode_to_their_one_value_or_are_refused(data: bytes) -> None:
    try:
        value = load(data)
    except DecodeError:
        return
    assert dump(value) == data


@given(PLAIN, st.data())
def test_ec_17_truncated_bytes_are_refused(value: Any, data: st.DataObject) -> None:
    encoded = dump(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError):
        load(encoded[:cut])


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65535, 65536])
def test_heads_agree_with_the_library(length: int) -> None:
    assert cbor2.dumps([0] * length).startswith(head(0x80, length))


def test_a_container_that_no_head_can_count_is_refused() -> None:
    with pytest.raises(DecodeError, match="too long"):
        head(0x80, 1 << 33)


@given(st.integers() | st.integers(2**32 - 3, 2**32 + 3) | st.integers(0, 300))
def test_ints_are_written_as_the_library_does(value: int) -> None:
    assert write_int(value) == cbor2.dumps(value)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65535, 65536])
def test_bytes_and_texts_are_written_and_read_as_the_library_does(size: int) -> None:
    assert write_bytes(b"x" * size) == cbor2.dumps(b"x" * size)
    assert write_text("x" * size) == cbor2.dumps("x" * size)
    assert read_bytes(write_bytes(b"x" * size)) == b"x" * size
    assert read_text(write_text("x" * size)) == "x" * size


@given(st.binary(max_size=60))
def test_ec_17_any_bytes_are_read_as_the_one_encoding_of_a_leaf_or_not_at_once(data: bytes) -> None:
    for read, write in ((read_bytes, write_bytes), (read_text, write_text)):
        value: Any = read(data)
        assert value is None or write(value) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "5801",
        "580100",
        "58",
        "5900",
        "590001ff",
        "4100ff",
        "41",
        "42ff",
        "5b",
        "40ff",
        "00",
        "6100ff",
    ],
)
def test_ec_17_bytes_in_another_form_are_not_read_at_once(data: str) -> None:
    assert read_bytes(bytes.fromhex(data)) is None


@pytest.mark.parametrize(
    "data", ["", "7801", "780161", "61", "61ff", "6161ff", "62c3", "4161", "60ff"]
)
def test_ec_17_texts_in_another_form_are_not_read_at_once(data: str) -> None:
    assert read_text(bytes.fromhex(data)) is None
