"""Values without parts take a shorter way through the codec, to the same bytes and values."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from durable_core.errors import DecodeError, PayloadTooLarge
from durable_core.wire.call import CallShape
from durable_core.wire.payload import PayloadCodec

CODEC = PayloadCodec(100)


async def leaves(number: int, name: str, blob: bytes, flag: bool, nothing: None) -> None: ...  # noqa: FBT001 - one of each


def test_all_leaves_are_encoded_as_each_by_itself() -> None:
    shape = CallShape.of(leaves)
    values = (7, "é", b"\x00", True, None)
    types = (int, str, bytes, bool, type(None))
    one_by_one = tuple(CODEC.encode(value, kind) for value, kind in zip(values, types, strict=True))
    assert CODEC.encode_leaves(values, types) == one_by_one
    assert shape.encode_each(CODEC, values) == one_by_one


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        ("7", int),
        (True, int),
        (7, float),
        (7, Any),
        ([7], list[int]),
        (7, "never seen"),
        (7, Annotated[int, []]),
        ("\ud800", str),
        (b"x" * 200, bytes),
    ],
)
def test_whatever_is_no_leaf_or_is_refused_takes_the_long_way(value: Any, as_type: object) -> None:
    assert CODEC.encode_leaves((1, value), (int, as_type)) is None


def test_what_is_refused_is_named() -> None:
    async def one(blob: bytes) -> None: ...

    shape = CallShape.of(one)
    with pytest.raises(DecodeError, match="argument 'blob': bytes is declared and 'str' was found"):
        shape.encode_each(CODEC, ("text",))
    with pytest.raises(PayloadTooLarge):
        shape.encode_each(CODEC, (b"x" * 200,))


@pytest.mark.parametrize(
    ("data", "as_type"),
    [
        ("4161", str),
        ("6161", bytes),
        ("1800", int),
        ("5801ff", bytes),
        ("61ff", str),
        ("f5", int),
        ("00ff", int),
        ("", bytes),
    ],
)
def test_ec_17_a_leaf_of_another_kind_or_form_is_refused(data: str, as_type: object) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(bytes.fromhex(data), as_type)


@pytest.mark.parametrize("value", [0, 23, 24, -1, 2**70, True, None, "", "é", b"", b"x" * 90])
def test_a_leaf_comes_back(value: Any) -> None:
    kind = type(value)
    assert CODEC.decode(CODEC.encode(value, kind), kind) == value
