"""What the entries of timers and promises say in clear.

```
timer_armed       detail = CBOR [timer id, due time in ms]
timer_fired       detail = CBOR [timer id]
promise_created   detail = CBOR [promise id, name]
promise_resolved  detail = CBOR [promise id], or of a signal [signal id, name, request id]
```
A timer's id counts the timers of its branch, and a promise's is derived from its name: no position
enters, so that a fresh run finds again what it has waited for, and what it has handed out.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from durable_core.errors import DecodeError
from durable_core.model.entries import EntryKind
from durable_core.wire.cbor import ARRAY, BYTES, head, write_bytes, write_int, write_text
from durable_core.wire.payload import dump, load

__all__ = [
    "LATEST_MS",
    "CreatedPromise",
    "Signal",
    "Timer",
    "fired_detail",
    "fired_timer",
    "read_resolved",
    "resolved_detail",
    "resolved_promise",
]

_ID_BYTES: Final = 16

_ONE: Final = head(ARRAY, 1)
_PAIR: Final = head(ARRAY, 2)
_ITS_HEAD: Final = _ONE + head(BYTES, _ID_BYTES)
_OF_A_PROMISE: Final = len(_ITS_HEAD) + _ID_BYTES
"""How long the detail of a `promise_resolved` is that is no signal's."""

LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999 (UTC)."""


@frozen
class Timer:
    """What a `timer_armed` says."""

    timer_id: str
    due_at: int
    """Milliseconds since 1970 UTC."""

    def detail(self) -> bytes:
        """The detail of the entry."""
        return _PAIR + write_text(self.timer_id) + write_int(self.due_at)

    @classmethod
    def decode(cls, data: bytes | None) -> Timer:
        """`DecodeError` for anything that `detail` does not write."""
        match load(data or b""):
            case [str() as timer_id, int() as due_at] if 0 <= due_at <= LATEST_MS:
                return cls(timer_id, due_at)
            case _:
                raise _no_detail(EntryKind.TIMER_ARMED)


def fired_detail(timer_id: str) -> bytes:
    """The detail of a `timer_fired`."""
    return _ONE + write_text(timer_id)


def fired_timer(data: bytes | None) -> str:
    """The timer that a `timer_fired` speaks of; `DecodeError` for any other detail."""
    match load(data or b""):
        case [str() as timer_id]:
            return timer_id
        case _:
            raise _no_detail(EntryKind.TIMER_FIRED)


@frozen
class CreatedPromise:
    """What a `promise_created` says."""

    promise_id: bytes
    name: str

    def detail(self) -> bytes:
        """The detail of the entry."""
        return _PAIR + write_bytes(self.promise_id) + write_text(self.name)

    @classmethod
    def decode(cls, data: bytes | None) -> CreatedPromise:
        """`DecodeError` for anything that `detail` does not write."""
        match load(data or b""):
            case [bytes() as promise_id, str() as name] if len(promise_id) == _ID_BYTES:
                return cls(promise_id, name)
            case _:
                raise _no_detail(EntryKind.PROMISE_CREATED)


def resolved_detail(promise_id: bytes) -> bytes:
    """The detail of a `promise_resolved`."""
    return _ONE + write_bytes(promise_id)


@frozen
class Signal:
    """What the `promise_resolved` of a signal says."""

    signal_id: bytes
    name: str
    request_id: bytes
    """Of the request by which it came, so that it is journaled once."""

    def detail(self) -> bytes:
        """The detail of the entry."""
        return dump([self.signal_id, self.name, self.request_id])

    @classmethod
    def find(cls, data: bytes | None) -> Signal | None:
        """The signal of a `promise_resolved`; None where it is the resolution of a promise."""
        match load(data or b""):
            case [bytes() as signal_id, str() as name, bytes() as request_id]:
                return cls(signal_id, name, request_id)
            case _:
                return None


def resolved_promise(data: bytes | None) -> bytes:
    """The promise, or the signal, that a `promise_resolved` speaks of.

    `DecodeError` for any other detail.
    """
    return read_resolved(data)[0]


def read_resolved(data: bytes | None) -> tuple[bytes, Signal | None]:
    """The id that a `promise_resolved` speaks of, and the signal where it is one.

    `DecodeError` for any other detail.
    """
    if data is not None and len(data) == _OF_A_PROMISE and data[:2] == _ITS_HEAD:
        return data[2:], None
    match load(data or b""):
        case [bytes() as signal_id, str() as name, bytes() as request_id] if (
            len(signal_id) == _ID_BYTES
        ):
            return signal_id, Signal(signal_id, name, request_id)
        case _:
            raise _no_detail(EntryKind.PROMISE_RESOLVED)


def _no_detail(kind: EntryKind) -> DecodeError:
    return DecodeError(f"the detail of a {kind.label} entry does not follow the format")
