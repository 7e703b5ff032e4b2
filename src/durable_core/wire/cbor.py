"""Plain data as CBOR (RFC 8949) in its core deterministic encoding (§4.2.1), and strictly back.

Plain data: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, Decimal, aware
datetime, date and UUID. Equal values have one encoding, in every process; bytes that are not the
one encoding of what they decode to are refused, which covers unknown tags, shared references,
indefinite lengths, duplicate keys, long forms and trailing bytes at once.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any, Final

import cbor2

from durable_core.errors import DecodeError

__all__ = ["DEEPEST", "dump", "head", "load"]

DEEPEST: Final = 64
"""How many containers may stand in one another, in either direction."""

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_TAGGED: Final = frozenset({decimal.Decimal, dt.date, uuid.UUID})
_SET_TAG: Final = b"\xd9\x01\x02"
_ARRAY: Final = 0x80
_MAP: Final = 0xA0
_DIRECT: Final = 24


def dump(value: object) -> bytes:
    """The encoding of plain data; `DecodeError`, naming the type, for anything else."""
    try:
        if _survey(value, 0):
            return cbor2.dumps(value, canonical=True)
        return _compose(value)
    except (cbor2.CBORError, ValueError, OverflowError, TypeError):
        # The library's messages may show the value (INV-5), so neither is theirs chained.
        message = f"a value of type {type(value).__name__!r} cannot be encoded"
        raise DecodeError(message) from None


def load(data: bytes) -> Any:  # noqa: ANN401 - whatever the bytes say
    """The plain data that `data` is the encoding of; `DecodeError` for any other bytes."""
    try:
        value = cbor2.loads(
            data,
            max_depth=DEEPEST,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        encoded = dump(value)
    except DecodeError:
        raise
    except Exception:  # noqa: BLE001 - hostile bytes may trip any constructor in the library
        message = "the bytes are truncated or are no CBOR of this format"
        raise DecodeError(message) from None
    if encoded != data:
        message = "the bytes are not the deterministic encoding of one value"
        raise DecodeError(message)
    return value


def head(major: int, length: int) -> bytes:
    """The head of an array (0x80) or map (0xA0) of that many items."""
    if length < _DIRECT:
        return bytes((major | length,))
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if length < 1 << 8 * size:
            return bytes((major | code,)) + length.to_bytes(size, "big")
    message = f"a container of {length} items is too long"
    raise DecodeError(message)


def _survey(value: object, depth: int) -> bool:
    """Check that `value` is plain; whether the library's own key order is right for it.

    The library sorts keys by length first (RFC 7049). That is the bytewise order of RFC 8949 for
    keys of one kind whose heads grow with their length: texts, bytes, or integers of one sign.
    """
    kind = type(value)
    if kind in _SCALARS or kind in _TAGGED:
        return True
    if depth >= DEEPEST:
        message = f"a value has more than {DEEPEST} containers in one another"
        raise DecodeError(message)
    if kind is list or kind is tuple:
        plain = True
        for item in value:  # type: ignore[attr-defined]
            plain = _survey(item, depth + 1) and plain
        return plain
    if kind is dict:
        plain = _sorts_alike(value)  # type: ignore[arg-type]
        for key, item in value.items():  # type: ignore[attr-defined]
            plain = _survey(key, depth + 1) and _survey(item, depth + 1) and plain
        return plain
    if kind is set or kind is frozenset:
        plain = _sorts_alike(value)  # type: ignore[arg-type]
        for item in value:  # type: ignore[attr-defined]
            plain = _survey(item, depth + 1) and plain
        return plain
    if kind is dt.datetime and value.tzinfo is not None:  # type: ignore[attr-defined]
        return True
    message = f"a value of type {kind.__name__!r} is no plain data; annotate it, or convert it"
    raise DecodeError(message)


def _sorts_alike(keys: dict[Any, Any] | set[Any] | frozenset[Any]) -> bool:
    kinds = {type(key) for key in keys}
    if kinds <= {str} or kinds <= {bytes}:
        return True
    return kinds == {int} and all(0 <= key < 1 << 64 for key in keys)


def _compose(value: Any) -> bytes:  # noqa: ANN401 - plain data, already surveyed
    """The encoding of a value whose keys need the bytewise order somewhere inside."""
    kind = type(value)
    if kind is list or kind is tuple:
        return head(_ARRAY, len(value)) + b"".join(_compose(item) for item in value)
    if kind is dict:
        pairs = sorted((_compose(key), _compose(item)) for key, item in value.items())
        return head(_MAP, len(pairs)) + b"".join(key + item for key, item in pairs)
    if kind is set or kind is frozenset:
        items = sorted(_compose(item) for item in value)
        return _SET_TAG + head(_ARRAY, len(items)) + b"".join(items)
    return cbor2.dumps(value, canonical=True)
