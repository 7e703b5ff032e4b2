"""Canonical fields: exact bytes, bounds, and that no two lists of values look the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.wire.fields import NULL, field, integer, text


def test_a_field_is_its_length_and_its_bytes() -> None:
    assert field(b"") == bytes.fromhex("00000000")
    assert field(b"abc") == bytes.fromhex("00000003") + b"abc"
    assert field(b"x" * 258) == bytes.fromhex("00000102") + b"x" * 258


def test_an_integer_is_a_field_of_eight_bytes() -> None:
    assert integer(0) == bytes.fromhex("00000008 0000000000000000")
    assert integer(258) == bytes.fromhex("00000008 0000000000000102")
    assert integer(2**64 - 1) == bytes.fromhex("00000008 ffffffffffffffff")


def test_booleans_are_the_integers_0_and_1() -> None:
    assert integer(value=False) == integer(0)
    assert integer(value=True) == integer(1)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_an_integer_outside_of_64_bits_has_no_field(value: int) -> None:
    with pytest.raises(OverflowError):
        integer(value)


def test_text_is_utf_8() -> None:
    assert text("") == bytes.fromhex("00000000")
    assert text("größe") == bytes.fromhex("00000007") + "größe".encode()
    assert text("\N{MONEY BAG}") == bytes.fromhex("00000004 f09f92b0")


def test_null_is_no_value() -> None:
    assert field(None) == integer(None) == text(None) == NULL == bytes.fromhex("ffffffff")
    assert field(b"") != NULL


VALUES = st.none() | st.binary(max_size=8) | st.text(max_size=8) | st.integers(0, 2**64 - 1)


def encoded(values: list[bytes | str | int | None]) -> bytes:
    return b"".join(
        integer(value)
        if isinstance(value, int)
        else text(value)
        if isinstance(value, str)
        else field(value)
        for value in values
    )


def shapes(values: list[bytes | str | int | None]) -> list[bytes | None]:
    """What the values are as fields: an integer and the same eight bytes are one field."""
    return [
        value.to_bytes(8, "big")
        if isinstance(value, int)
        else value.encode()
        if isinstance(value, str)
        else value
        for value in values
    ]


@given(st.lists(VALUES, max_size=6), st.lists(VALUES, max_size=6))
def test_different_lists_have_different_encodings(
    left: list[bytes | str | int | None],
    right: list[bytes | str | int | None],
) -> None:
    assert (encoded(left) == encoded(right)) == (shapes(left) == shapes(right))


@given(st.lists(st.none() | st.binary(max_size=40), max_size=6))
def test_an_encoding_reads_back_in_one_way(values: list[bytes | None]) -> None:
    """Prefix-free, so that bytes never wander from one column into the next."""
    data, read = encoded([*values]), []
    while data:
        size, data = data[:4], data[4:]
        length = 0 if size == NULL else int.from_bytes(size, "big")
        read.append(None if size == NULL else data[:length])
        data = data[length:]
    assert read == values
