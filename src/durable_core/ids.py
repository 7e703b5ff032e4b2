"""The identifiers of the journal, and the one place where they are drawn."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Final, NewType, Protocol

from attrs import frozen

from durable_core.clock import Clock, SystemClock
from durable_core.errors import ConfigError, DurableError, ExecutionNotFound, PromiseNotFound

__all__ = [
    "NO_STEP",
    "ExecutionId",
    "IdSource",
    "JournalSeq",
    "OwnerId",
    "PromiseId",
    "RandomIds",
    "StepId",
    "execution_id_of",
    "promise_id_of",
    "shown_id",
]

ExecutionId = uuid.UUID
"""A UUIDv7 (RFC 9562, section 5.7): sorts by the time of its creation."""

PromiseId = uuid.UUID
"""A UUIDv8 that is derived from the execution and the promise's name: an identifier, no secret."""

OwnerId = NewType("OwnerId", str)
"""Names one opened engine; never used again after that engine is closed."""

StepId = NewType("StepId", str)
"""A path of positions within an execution: `"0"`, `"1"`, `"4.1.0"`.

Of a step that is matched by content the last part is `~<fingerprint>.<occurrence>` instead.
"""

JournalSeq = NewType("JournalSeq", int)
"""The place of an entry in the database's global append order."""

NO_STEP = StepId("")
"""The step id of entries that belong to the execution as a whole."""


_ID_BYTES: Final = 16


def shown_id(stored: bytes) -> str:
    """A stored id as it is printed; one that somebody has made unlike any id, as its digits."""
    stored = bytes(stored)
    return str(uuid.UUID(bytes=stored)) if len(stored) == _ID_BYTES else stored.hex()


def promise_id_of(given: object) -> PromiseId:
    """The promise id that a caller gives, as it is or as text.

    `PromiseNotFound` for a text that is no UUID, `ConfigError` for anything else.
    """
    message = "no such promise: an id is a UUID, as the promise's own `id` shows it"
    return _uuid_of(given, "a promise id", lambda _: PromiseNotFound(message))


def execution_id_of(given: object) -> ExecutionId:
    """The execution id that a caller gives, as it is or as text.

    `ExecutionNotFound` for a text that is no UUID, `ConfigError` for anything else.
    """
    hint = "an id is a UUID, as `durable list` shows it"
    return _uuid_of(
        given, "an execution id", lambda text: ExecutionNotFound(f"no execution {text!r}: {hint}")
    )


def _uuid_of(given: object, what: str, unknown: Callable[[str], DurableError]) -> uuid.UUID:
    """`given` as a UUID; what `unknown` makes of a text that is none."""
    if isinstance(given, uuid.UUID):
        return given
    if not isinstance(given, str):
        message = f"{what} is a UUID or its text, not {type(given).__name__}"
        raise ConfigError(message)
    try:
        return uuid.UUID(given)
    except ValueError:
        raise unknown(given) from None


class IdSource(Protocol):
    """Draws fresh identifiers. Safe to call from any task of one event loop."""

    def execution_id(self) -> ExecutionId:
        """A new UUIDv7, unique in every process."""
        ...

    def owner_id(self) -> OwnerId:
        """A new owner name, unique in every process."""
        ...


@frozen
class RandomIds:
    """The `IdSource` of production: time from a clock, randomness from the system."""

    clock: Clock = SystemClock()

    def execution_id(self) -> ExecutionId:
        """A UUIDv7: 48 bits of Unix milliseconds, 74 random bits, version and variant."""
        value = (self.clock.now_ms() & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return uuid.UUID(int=value)

    def owner_id(self) -> OwnerId:
        """128 random bits in hexadecimal."""
        return OwnerId(os.urandom(16).hex())
