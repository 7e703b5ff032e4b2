"""The payload codec: values to bytes and back, typed by annotations (INV-11).

Annotated values are structured by their types; unannotated ones must be plain data that comes back
equal. Both are refused when they are first encoded, not when they are replayed.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, TypeVar

from durable_core.errors import DecodeError, PayloadTooLarge
from durable_core.wire.cbor import dump, load
from durable_core.wire.restoring import restores, strict_converter

__all__ = ["UNTYPED", "PayloadCodec", "dump", "load"]


class _Untyped:
    """The type of `UNTYPED`."""


UNTYPED: Final = _Untyped()
"""Stands for "no annotation"; `typing.Any` and `object` mean the same."""

_SCALARS: Final = frozenset({str, int, bytes, bool, type(None)})


def _is_untyped(as_type: object) -> bool:
    return (
        as_type is UNTYPED
        or as_type is Any
        or as_type is object
        or as_type is inspect.Parameter.empty
        or isinstance(as_type, TypeVar)
    )


class PayloadCodec:
    """Encodes and decodes values of at most `max_bytes` encoded bytes. For any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._converter = strict_converter()

    def encode(self, value: object, as_type: object = UNTYPED) -> bytes:
        """The encoding of `value`; equal values have equal encodings in every process.

        `DecodeError`, naming types and never values, for one that would not be restored;
        `PayloadTooLarge` above the limit.
        """
        return self.settle(value, as_type)[0]

    def decode(self, data: bytes, as_type: object = UNTYPED) -> Any:  # noqa: ANN401 - by its type
        """The value that `data` encodes, structured as `as_type`.

        `PayloadTooLarge` before anything is decoded; `DecodeError` for bytes that are not an
        encoding, or that do not fit the type. Never a partial value.
        """
        self._guard(data)
        return self.structure(load(data), as_type)

    def settle(self, value: object, as_type: object = UNTYPED) -> tuple[bytes, Any]:
        """The encoding, and what decoding it gives: what every later reader will see.

        Raises as `encode` does.
        """
        if type(value) is as_type and as_type in _SCALARS:
            data = dump(value)
            self._guard(data)
            return data, value
        data = dump(self._unstructure(value, as_type))
        self._guard(data)
        restored = self.structure(load(data), as_type)
        if not restores(value, restored, typed=not _is_untyped(as_type)):
            raise _lost(value, as_type)
        return data, restored

    def structure(self, plain: object, as_type: object) -> Any:  # noqa: ANN401 - by its type
        """Plain data as the annotated type; `DecodeError` if it does not fit."""
        if _is_untyped(as_type) or (type(plain) is as_type and as_type in _SCALARS):
            return plain
        try:
            return self._converter.structure(plain, as_type)  # type: ignore[arg-type]
        except DecodeError:
            raise
        except Exception:  # noqa: BLE001 - a class's own code runs here
            # The original may show the value (INV-5), so it is not chained.
            message = f"the journaled value does not fit the declared type {_name(as_type)}"
            raise DecodeError(message) from None

    def _unstructure(self, value: object, as_type: object) -> object:
        if _is_untyped(as_type):
            return value
        try:
            return self._converter.unstructure(value, as_type)
        except Exception:  # noqa: BLE001 - a class's own code runs here
            raise _lost(value, as_type) from None

    def _guard(self, data: bytes) -> None:
        if len(data) > self._max_bytes:
            message = (
                f"a value of {len(data)} encoded bytes exceeds max_payload_bytes = "
                f"{self._max_bytes}; store it elsewhere and journal a reference"
            )
            raise PayloadTooLarge(message)


def _lost(value: object, as_type: object) -> DecodeError:
    found = type(value).__name__
    if _is_untyped(as_type):
        return DecodeError(
            f"a value of type {found!r} would not come back equal; annotate its type",
        )
    return DecodeError(
        f"a value of type {found!r} cannot be restored as the declared type {_name(as_type)}",
    )


def _name(as_type: object) -> str:
    return getattr(as_type, "__name__", None) or str(as_type)
