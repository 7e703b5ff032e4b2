"""How executions and steps end, and the bytes in which the journal keeps that.

```
execution_finished   0x00 | value          or   0x01 | CBOR [error type, message]
                     0x02: continued by the execution that its detail names
step_result          outcome byte | value
step_failed          CBOR [error type, message, attempts]
intent_settled       0x01 | value (it ran) or   0x00 (it did not run)
```
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

from attrs import field, frozen

from durable_core.errors import DecodeError, ExecutionError, ExecutionFailed, StepFailed
from durable_core.ids import ExecutionId
from durable_core.wire.payload import dump, load

__all__ = [
    "CANCELLED",
    "CONTINUED",
    "DID_NOT_RUN",
    "STEP_CANCELLED",
    "VALUE",
    "Failure",
    "Outcome",
    "failure_of",
    "finished_error",
    "finished_value",
    "interrupted",
    "read_finished",
]

DID_NOT_RUN: Final = b"\x00"
"""The payload of an `intent_settled` that says that the function was not called."""

CONTINUED: Final = b"\x02"
"""The payload of an `execution_finished` behind which another execution goes on."""

VALUE: Final = b"\x00"
"""Begins the payload of a `step_result` whose function returned."""

STEP_CANCELLED: Final = "StepCancelled"
"""The error type of a step that the workflow's own code cancelled."""

_LONGEST_MESSAGE: Final = 10_000
_LONGEST_CHARACTER: Final = 4
_FRAME: Final = 256


@frozen
class Outcome:
    """How a run ended for those who wait: a value, the error to raise, or who goes on."""

    value: object = field(default=None, repr=False)
    error: Exception | None = field(default=None, repr=False)
    successor: ExecutionId | None = None
    """The execution that continues it: the outcome is that one's."""

    _trace: TracebackType | None = field(init=False, repr=False)

    @_trace.default
    def _trace_of_error(self) -> TracebackType | None:
        return None if self.error is None else self.error.__traceback__

    def take(self) -> object:
        """The value, or raises the error as it was: it does not grow with each who asks."""
        if self.error is not None:
            raise self.error.with_traceback(self._trace)
        return self.value


@frozen
class Failure:
    """A step's final error as the journal keeps it."""

    error_type: str
    message: str = field(repr=False)
    attempts: int

    def encode(self) -> bytes:
        """The payload of a `step_failed`."""
        return dump([self.error_type, self.message, self.attempts])

    def of_step(self, step: str) -> StepFailed:
        """What the workflow sees of it, live and replayed alike."""
        return StepFailed(step, self.error_type, self.message)

    @classmethod
    def decode(cls, payload: bytes) -> Failure:
        """`DecodeError` for anything that `encode` does not write."""
        match load(payload):
            case [str() as error_type, str() as message, int() as attempts]:
                return cls(error_type, message, attempts)
            case _:
                message = "a step_failed payload does not follow the format"
                raise DecodeError(message)


CANCELLED: Final = Failure(STEP_CANCELLED, "cancelled by the workflow", 1)
"""The failure of a step whose function was not called, or was cut off, because of that."""


def failure_of(error: BaseException, attempts: int, max_payload_bytes: int) -> Failure:
    """The record of `error`: its type's name and its message, cut so that it surely fits.

    Of a workflow that failed, a child that is, those of the error that it failed with.
    """
    kind = type(error).__qualname__
    if isinstance(error, ExecutionFailed):
        kind, message = error.error_type, error.message
    elif isinstance(error, StepFailed):
        message = f"{error}: {error.message}"
    else:
        try:
            message = str(error)
        except Exception:  # noqa: BLE001 - an error's own __str__ is foreign code
            message = ""
    room = max(0, min(_LONGEST_MESSAGE, (max_payload_bytes - _FRAME) // _LONGEST_CHARACTER))
    clean = message[:room].encode("utf-8", "replace").decode()
    return Failure(kind, clean, attempts)


def finished_value(encoded: bytes) -> bytes:
    """The payload of an `execution_finished` with a result."""
    return b"\x00" + encoded


def finished_error(failure: Failure) -> bytes:
    """The payload of an `execution_finished` with an error."""
    return b"\x01" + dump([failure.error_type, failure.message])


def read_finished(payload: bytes) -> bytes | Failure:
    """The encoded result, or the error, of an `execution_finished`."""
    if payload[:1] == b"\x00":
        return payload[1:]
    if payload[:1] == b"\x01":
        match load(payload[1:]):
            case [str() as error_type, str() as message]:
                return Failure(error_type, message, 1)
            case _:
                pass
    message = "an execution_finished payload does not follow the format"
    raise DecodeError(message)


def interrupted() -> Outcome:
    """The outcome where all that the event loop did was cancelled: the journal has none."""
    return Outcome(error=ExecutionError("the engine was interrupted; open one to go on"))
