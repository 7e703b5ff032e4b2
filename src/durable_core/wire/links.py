"""What ties an execution to the one that continues it; each of the two names the other in clear.

```
execution_started   detail = CBOR [id of the execution that it continues], or none
execution_finished  detail = CBOR [id of the execution that continues it], or none
```
"""

from __future__ import annotations

from typing import Final

from durable_core.errors import DecodeError
from durable_core.wire.payload import dump, load

__all__ = ["link_detail", "linked_execution"]

_ID_BYTES: Final = 16


def link_detail(execution_id: bytes) -> bytes:
    """The detail of an entry that names the execution before, or behind, its own."""
    return dump([execution_id])


def linked_execution(data: bytes | None) -> bytes | None:
    """The execution that a detail names, None where there is none; `DecodeError` otherwise."""
    if data is None:
        return None
    match load(data):
        case [bytes() as execution_id] if len(execution_id) == _ID_BYTES:
            return execution_id
        case _:
            message = "the detail of a start or an end does not follow the format"
            raise DecodeError(message)
