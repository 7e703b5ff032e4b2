"""A promise's id, its resolver token, and what the database keeps of the two (INV-9, EC-35).

```
promise id  = BLAKE3 derive_key("durable-core v1 promise-id",
                  field() of execution_id, idem branch path, name, occurrence), as a UUIDv8
token       = BLAKE3-keyed(promise-token key, "token" | field() of execution_id, promise id)
token hash  = BLAKE3 derive_key("durable-core v1 promise-token-hash",
                  field() of token, execution_id, promise id)
outcome     = BLAKE3-keyed(promise-token key,
                  "outcome" | field() of execution_id, promise id, payload)
```
Id and token are derived, so that after a crash, and in a fresh run, the program hands out the same
ones again. The id is no capability: whoever knows it knows nothing of the token.
"""

from __future__ import annotations

import hmac
import uuid
from typing import Final

from blake3 import blake3

from durable_core.errors import ConfigError
from durable_core.wire.fields import field, integer, text
from durable_core.wire.keys import ExecutionKeys

__all__ = [
    "TOKEN_BYTES",
    "fits",
    "outcome_mark",
    "promise_id",
    "promise_token",
    "require_key",
    "signal_id",
    "token_hash",
]

TOKEN_BYTES: Final = 32

_ID_CONTEXT: Final = "durable-core v1 promise-id"
_SIGNALS: Final = "signal"
"""No branch path is a word."""

_HASH_CONTEXT: Final = "durable-core v1 promise-token-hash"


def promise_id(execution_id: bytes, branch: str, name: str, occurrence: int) -> uuid.UUID:
    """The id of the promise that its branch makes under `name` for the n-th time (0 first)."""
    data = field(execution_id) + text(branch) + text(name) + integer(occurrence)
    value = int.from_bytes(blake3(data, derive_key_context=_ID_CONTEXT).digest()[:16], "big")
    value = value & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def signal_id(execution_id: bytes, name: str, number: int) -> uuid.UUID:
    """The id of the n-th signal of that name (0 first), as of a promise in a branch of its own."""
    return promise_id(execution_id, _SIGNALS, name, number)


def promise_token(keys: ExecutionKeys, execution_id: bytes, promise: bytes) -> bytes:
    """The 32 bytes with which the promise is resolved; `ConfigError` where there is no key."""
    return _keyed(keys, b"token", field(execution_id) + field(promise))


def outcome_mark(keys: ExecutionKeys, execution_id: bytes, promise: bytes, payload: bytes) -> bytes:
    """What tells whether a later resolution is the same one; says nothing of the value itself."""
    return _keyed(keys, b"outcome", field(execution_id) + field(promise) + field(payload))


def token_hash(token: bytes, execution_id: bytes, promise: bytes) -> bytes:
    """What the database keeps of a token: bound to the promise and its execution."""
    data = field(token) + field(execution_id) + field(promise)
    return blake3(data, derive_key_context=_HASH_CONTEXT).digest()


def fits(token: bytes, kept: bytes, execution_id: bytes, promise: bytes) -> bool:
    """Whether this is the token that `kept` is the hash of, in a time that does not tell."""
    return hmac.compare_digest(token_hash(token, execution_id, promise), kept)


def require_key(keys: ExecutionKeys) -> bytes:
    """What tokens are derived from; `ConfigError` where an execution has no key."""
    if keys.promise_key is None:
        message = (
            "a promise needs a key, since its resolver token is derived from one, and this "
            "execution was created without; configure DURABLE_KEY"
        )
        raise ConfigError(message)
    return keys.promise_key


def _keyed(keys: ExecutionKeys, purpose: bytes, data: bytes) -> bytes:
    return blake3(purpose + data, key=require_key(keys)).digest()
