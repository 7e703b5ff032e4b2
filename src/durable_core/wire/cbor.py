"""Plain data as CBOR (RFC 8949) in its core deterministic encoding (§4.2.1), and strictly back.

Plain data: None, bool, int, float, str, bytes, list, dict, set, finite Decimal, aware datetime,
date and UUID; inside of keys and of sets, where Python wants what cannot change, tuple and
frozenset in place of list and set. Plain data comes back equal, part by part and class by class.

Equal values have one encoding, in every process; bytes that are not the one encoding of what they
decode to are refused, which covers unknown tags, shared references, indefinite lengths, duplicate
keys, long forms and trailing bytes at once.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import cbor2

from durable_core.errors import DecodeError

__all__ = [
    "ARRAY",
    "BYTES",
    "DEEPEST",
    "LEAVES",
    "MAP",
    "decode",
    "dump",
    "head",
    "is_plain_moment",
    "load",
    "read_bytes",
    "read_text",
    "set_of",
    "write_bytes",
    "write_int",
    "write_text",
]

DEEPEST: Final = 64
"""How many containers may stand in one another, in either direction."""

BYTES: Final = 0x40
ARRAY: Final = 0x80
MAP: Final = 0xA0

LEAVES: Final = frozenset({type(None), bool, int, str, bytes})
"""The types whose every encoding by the library is the deterministic one, in lists too."""

_SET_TAG: Final = b"\xd9\x01\x02"
_DIRECT: Final = 24
_TEXT_HEADS: Final = tuple(bytes((0x60 | size,)) for size in range(_DIRECT))
_TEXT: Final = 0x60
_SIZES: Final = ((24, 1), (25, 2), (26, 4))
"""What a head says that has so many bytes more, behind which the length stands."""

_BEHIND: Final = {
    major: {
        **{bytes((major | length,)): 1 for length in range(_DIRECT)},
        **{bytes((major | code,)): 1 + size for code, size in _SIZES},
    }
    for major in (BYTES, _TEXT)
}
"""Where bytes and texts begin, by the first byte in front of them."""

_SMALL: Final = 256
_INTS: Final = tuple(map(cbor2.dumps, range(_SMALL)))
_LARGEST_EXPONENT: Final = 6_144
"""That of IEEE 754's decimal128: arithmetic with larger ones could take all memory there is."""


def dump(value: object, deepest: int = DEEPEST) -> bytes:
    """The encoding of plain data; `DecodeError`, naming the type, for anything else."""
    try:
        return _write(value, deepest, within=False)
    except (cbor2.CBORError, ValueError, OverflowError, TypeError):
        # The library's messages may show the value (INV-5), so neither is theirs chained.
        message = f"a value of type {type(value).__name__!r} cannot be encoded"
        raise DecodeError(message) from None


def load(data: bytes, deepest: int = DEEPEST) -> Any:  # noqa: ANN401 - whatever the bytes say
    """The plain data that `data` is the encoding of; `DecodeError` for any other bytes."""
    value = decode(data, deepest)
    # The library lets one more pass where that is empty.
    if dump(value, deepest + 1) != data:
        message = "the bytes are not the deterministic encoding of one value"
        raise DecodeError(message)
    return value


def decode(data: bytes, deepest: int = DEEPEST) -> Any:  # noqa: ANN401 - whatever the bytes say
    """As `load`, for bytes that are known to be deterministic: they were encoded just now."""
    try:
        return cbor2.loads(
            data,
            max_depth=deepest,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except Exception:  # noqa: BLE001 - hostile bytes may trip any constructor in the library
        message = "the bytes are truncated or are no CBOR of this format"
        raise DecodeError(message) from None


def head(major: int, length: int) -> bytes:
    """The head of bytes (`BYTES`), an array (`ARRAY`), map (`MAP`) or text (0x60) so long."""
    if length < _DIRECT:
        return bytes((major | length,))
    for code, size in _SIZES:
        if length < 1 << 8 * size:
            return ((major | code) << 8 * size | length).to_bytes(1 + size, "big")
    message = f"a container of {length} items is too long"
    raise DecodeError(message)


def write_text(value: str) -> bytes:
    """The encoding of a text; `UnicodeEncodeError`, a `ValueError`, for a lone surrogate."""
    data = value.encode()
    size = len(data)
    return (_TEXT_HEADS[size] if size < _DIRECT else head(_TEXT, size)) + data


def write_int(value: int) -> bytes:
    """The encoding of an int."""
    return _INTS[value] if 0 <= value < _SMALL else cbor2.dumps(value)


def write_bytes(value: bytes) -> bytes:
    """The encoding of bytes."""
    return head(BYTES, len(value)) + value


def read_bytes(data: bytes) -> bytes | None:
    """What `write_bytes` makes `data` of; None where that is not seen at once."""
    at = _BEHIND[BYTES].get(data[:1], 0)
    value = data[at:]
    return value if at and data[:at] == head(BYTES, len(value)) else None


def read_text(data: bytes) -> str | None:
    """What `write_text` makes `data` of; None where that is not seen at once."""
    at = _BEHIND[_TEXT].get(data[:1], 0)
    value = data[at:]
    if not at or data[:at] != head(_TEXT, len(value)):
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def set_of(items: Iterable[bytes], size: int) -> bytes:
    """A set of `size` items that are encoded already; `ValueError` if two of them are the same."""
    ordered = sorted(set(items))
    if len(ordered) != size:
        message = "two items of a set have the same encoding"
        raise ValueError(message)
    return _SET_TAG + head(ARRAY, size) + b"".join(ordered)


def is_plain_moment(value: dt.datetime) -> bool:
    """Whether an encoded datetime comes back equal: it is aware, and CBOR can say its offset.

    Time zones that change their offset come back as the offset of that moment, which is equal
    to them but in the hour that a zone repeats (PEP 495).
    """
    offset = value.utcoffset()
    if offset is None or offset.seconds % 60 or offset.microseconds:
        return False
    return value == value.replace(tzinfo=dt.timezone(offset), fold=0)


def _write(value: Any, left: int, within: bool) -> bytes:  # noqa: ANN401, FBT001 - of any type; hot
    """`value` with at most `left` containers in one another; `within` a key or a set."""
    kind = type(value)
    leaf = _WRITERS.get(kind)
    if leaf is not None:
        return leaf(value)
    if left == 0:
        message = f"a value has too many containers in one another; the limit is {DEEPEST}"
        raise DecodeError(message)
    left -= 1
    if kind is (tuple if within else list):
        if LEAVES.issuperset(map(type, value)):
            return cbor2.dumps(value)
        items = [_write(item, left, within) for item in value]
        return head(ARRAY, len(items)) + b"".join(items)
    if kind is (cbor2.frozendict if within else dict):
        # Not the library's canonical order, which is that of RFC 7049: by length first.
        pairs = [
            (_write(key, left, within=True), _write(item, left, within))
            for key, item in value.items()
        ]
        pairs.sort()
        return head(MAP, len(pairs)) + b"".join([key + item for key, item in pairs])
    if kind is (frozenset if within else set):
        return set_of([_write(item, left, within=True) for item in value], len(value))
    message = f"a value of type {kind.__name__!r} is no plain data; annotate it, or convert it"
    raise DecodeError(message)


def _write_decimal(value: decimal.Decimal) -> bytes:
    sign, _, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _LARGEST_EXPONENT or (sign and not value):
        message = (
            "a decimal is not finite, a negative zero, or has an exponent beyond "
            f"{_LARGEST_EXPONENT}, and would not come back equal; convert it"
        )
        raise DecodeError(message)
    return cbor2.dumps(value)


def _write_moment(value: dt.datetime) -> bytes:
    if not is_plain_moment(value):
        message = "a datetime is naive or in a repeated hour; declare its type as datetime"
        raise DecodeError(message)
    return cbor2.dumps(value)


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    str: write_text,
    int: write_int,
    bytes: write_bytes,
    **dict.fromkeys((type(None), bool, dt.date, uuid.UUID), cbor2.dumps),
    float: partial(cbor2.dumps, canonical=True),
    decimal.Decimal: _write_decimal,
    dt.datetime: _write_moment,
}
