"""Fingerprints and idempotency keys: what a step *is*, apart from where it stands (INV-3, INV-13).

```
fingerprint = BLAKE3-keyed(fingerprint_key, field() of name, effect code, sub-class code, arguments)
idem_key    = BLAKE3 derive_key("durable-core v1 idempotency-key",
                  field() of execution_id, idem branch path, fingerprint, occurrence)
```
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from durable_core.model.effects import EffectClass
from durable_core.wire.fields import field, integer, text
from durable_core.wire.keys import ExecutionKeys

__all__ = [
    "ROOT_BRANCH",
    "call_fingerprint",
    "call_key",
    "fingerprint_prefix",
    "idempotency_key",
    "key_prefix",
    "step_fingerprint",
    "wait_fingerprint",
]

_IDEM_KEYS: Final = blake3(derive_key_context="durable-core v1 idempotency-key")
"""Copied for each key: so its context is derived once."""

_COUNT: Final = b"\x00\x00\x00\x08"
"""In front of the bytes of an integer."""

ROOT_BRANCH: Final = ""
"""The idem branch path of the root branch: no (block ordinal, branch index) pairs."""


def step_fingerprint(
    keys: ExecutionKeys,
    name: str,
    effect: int,
    sub_class: int,
    arguments: bytes,
) -> bytes:
    """32 bytes that change with the step's name, class, sub-class (0: none) and arguments."""
    return call_fingerprint(keys, fingerprint_prefix(name, effect, sub_class), arguments)


def fingerprint_prefix(name: str, effect: int, sub_class: int) -> bytes:
    """What is hashed in front of the arguments of every call of a step."""
    return text(name) + integer(effect) + integer(sub_class)


def call_fingerprint(keys: ExecutionKeys, prefix: bytes, arguments: bytes) -> bytes:
    """The `step_fingerprint` of a call, by the step's own `fingerprint_prefix`."""
    return keys.fingerprint(prefix + len(arguments).to_bytes(4, "big") + arguments)


def wait_fingerprint(keys: ExecutionKeys, name: str) -> bytes:
    """The `step_fingerprint` of an idempotent step without arguments, made once for each name.

    For the few names that the engine itself gives to waits.
    """
    known = keys.of_waits.get(name)
    if known is None:
        known = keys.of_waits[name] = step_fingerprint(keys, name, EffectClass.IDEMPOTENT, 0, b"")
    return known


def idempotency_key(
    execution_id: bytes,
    branch: str,
    fingerprint: bytes,
    occurrence: int,
) -> bytes:
    """32 bytes to forward to an outside system; the same in every run of the execution.

    `occurrence` counts equal fingerprints of the branch from 0. No position enters, so that a
    fresh run finds committed effects where positions moved.
    """
    return call_key(key_prefix(execution_id, branch), fingerprint, occurrence)


def key_prefix(execution_id: bytes, branch: str) -> bytes:
    """What is hashed in front of everything that is called in one branch."""
    return field(execution_id) + text(branch)


def call_key(prefix: bytes, fingerprint: bytes, occurrence: int) -> bytes:
    """The `idempotency_key` of a call, by the `key_prefix` of its branch."""
    size, count = len(fingerprint).to_bytes(4, "big"), occurrence.to_bytes(8, "big")
    data = b"".join((prefix, size, fingerprint, _COUNT, count))
    return _IDEM_KEYS.copy().update(data).digest()
