"""The payload codec: values to bytes and back, typed by annotations (INV-11).

Annotated values are structured by their types; unannotated ones must be plain data that comes back
equal. Both are refused when they are first encoded, not when they are replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from durable_core.errors import DecodeError, PayloadError, PayloadTooLarge
from durable_core.wire.cbor import decode, dump, load
from durable_core.wire.plan import Plan
from durable_core.wire.planner import Planner

__all__ = ["UNTYPED", "PayloadCodec", "dump", "load"]

UNTYPED: Final = Any
"""Stands for "no annotation"; `object` and type variables mean the same."""

_PLAIN: Final = frozenset({list, tuple, dict, set, frozenset})
"""Classes that say nothing of what is in their instances."""


class PayloadCodec:
    """Encodes and decodes values of at most `max_bytes` encoded bytes. For any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._planner = Planner()
        self._plans = self._planner.plans

    def encode(self, value: object, as_type: object = UNTYPED) -> bytes:
        """The encoding of `value`; equal values have equal encodings in every process.

        `DecodeError`, naming types and never values, for one that would not be restored;
        `PayloadTooLarge` above the limit.
        """
        plan, data = self._encoded(value, as_type)
        if not (plan.exact or type(value) in plan.unchanging):
            _require_restored(plan, value, data)
        return data

    def encode_leaves(
        self, values: Sequence[object], types: Sequence[object]
    ) -> tuple[bytes, ...] | None:
        """The encodings of values that have no parts, each as the type at its place.

        None where one of them is no such value, or is refused: `encode` says why.
        """
        plans, limit = self._plans, self._max_bytes
        parts = []
        try:
            for value, as_type in zip(values, types, strict=True):
                plan = plans[as_type]
                if plan.write is None or type(value) not in plan.kinds:
                    return None
                data = plan.write(value)
                if len(data) > limit:
                    return None
                parts.append(data)
        except (KeyError, TypeError, ValueError):
            return None
        return tuple(parts)

    def encode_by_class(self, value: object, what: str) -> bytes:
        """`encode` as the value's own class declares it, for who does not know the annotation.

        The errors of `encode` call the value `what`.
        """
        kind = type(value)
        try:
            return self.encode(value, UNTYPED if kind in _PLAIN else kind)
        except PayloadError as error:
            message = f"{what} is refused: {error}"
            raise type(error)(message) from error

    def decode(self, data: bytes, as_type: object = UNTYPED) -> Any:  # noqa: ANN401 - by its type
        """The value that `data` encodes, structured as `as_type`.

        `PayloadTooLarge` before anything is decoded; `DecodeError` for bytes that are not an
        encoding, or that do not fit the type. Never a partial value.
        """
        if len(data) > self._max_bytes:
            raise self._too_large(data)
        plan = self._plan_of(as_type)
        if plan.read is not None:
            value = plan.read(data)
            if value is not None:
                return value
        if plan.write is not None:
            # What has no parts is looked at without the way through them.
            value = decode(data)
            if type(value) in plan.kinds and plan.write(value) == data:
                return value
        return _lifted(plan, load(data))

    def settle(self, value: object, as_type: object = UNTYPED) -> tuple[bytes, Any]:
        """The encoding, and what decoding it gives: what every later reader will see.

        Raises as `encode` does.
        """
        plan, data = self._encoded(value, as_type)
        if type(value) in plan.unchanging:
            return data, value
        return data, _require_restored(plan, value, data)

    def keeps(self, value: object, as_type: object) -> bool:
        """Whether decoding what `encode` made of `value` can only give `value` itself."""
        return type(value) in self._plan_of(as_type).unchanging

    def structure(self, plain: object, as_type: object) -> Any:  # noqa: ANN401 - by its type
        """Plain data as the annotated type; `DecodeError` if it does not fit."""
        return _lifted(self._plan_of(as_type), plain)

    def _plan_of(self, as_type: object) -> Plan:
        try:
            return self._plans[as_type]
        except (KeyError, TypeError):  # unknown yet, or with metadata that cannot be hashed
            return self._planned(as_type)

    def _planned(self, as_type: object) -> Plan:
        try:
            return self._planner.plan_of(as_type)
        except DecodeError:
            raise
        except Exception as error:
            message = f"values of the declared type {as_type} cannot be journaled"
            raise DecodeError(message) from error

    def _encoded(self, value: object, as_type: object) -> tuple[Plan, bytes]:
        plan = self._plan_of(as_type)
        try:
            data = plan.encode(value)
        except DecodeError:
            raise
        except Exception:  # noqa: BLE001 - a class's own code runs here
            raise _lost(plan, value) from None
        if len(data) > self._max_bytes:
            raise self._too_large(data)
        return plan, data

    def _too_large(self, data: bytes) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"a value of {len(data)} encoded bytes exceeds max_payload_bytes = "
            f"{self._max_bytes}; store it elsewhere and journal a reference",
        )


def _require_restored(plan: Plan, value: object, data: bytes) -> Any:  # noqa: ANN401 - by its type
    """What `data` gives back; `DecodeError` if that is not the `value` which it was made from."""
    restored = _lifted(plan, decode(data))
    if not plan.exact and not _is_restored(plan, restored, data):
        raise _lost(plan, value)
    return restored


def _lifted(plan: Plan, plain: object) -> Any:  # noqa: ANN401 - by its type
    try:
        return plan.lift(plain)
    except Exception:  # noqa: BLE001 - a class's own code runs here
        # The original may show the value (INV-5), so it is not chained.
        message = f"the journaled value does not fit the declared type {plan.name}"
        raise DecodeError(message) from None


def _is_restored(plan: Plan, restored: object, data: bytes) -> bool:
    """By what is encoded: a class may call equal what differs, and NaN is not equal to itself."""
    try:
        return plan.encode(restored) == data
    except Exception:  # noqa: BLE001 - a class's own code runs here
        return False


def _lost(plan: Plan, value: object) -> DecodeError:
    return DecodeError(
        f"a value of type {type(value).__name__!r} cannot be restored as the declared type "
        f"{plan.name}",
    )
