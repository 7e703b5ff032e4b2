"""Owners' ids and locks, as far as they are the same for a file and for a session."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from durable_core.errors import ConfigError, JournalUnavailable

__all__ = ["is_owner_id", "require_owner_id", "take"]

_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,128}")
_ATTEMPTS: Final = 100
_PAUSE_S: Final = 0.01


def is_owner_id(owner_id: str) -> bool:
    """Whether an engine can have this id; `ANYONE` and `NOBODY` never are one."""
    return _NAME.fullmatch(owner_id) is not None


def require_owner_id(owner_id: str) -> None:
    """`ConfigError` unless `is_owner_id`."""
    if not is_owner_id(owner_id):
        message = "an owner id is up to 128 letters, digits, hyphens and underscores"
        raise ConfigError(message)


async def take(lock: str, attempt: Callable[[], Awaitable[bool]]) -> None:
    """Take a lock by `attempt`, for about a second: a prober holds it for an instant only.

    `JournalUnavailable` where another engine has it; `lock` is what messages call it.
    """
    for _ in range(_ATTEMPTS):
        if await attempt():
            return
        await asyncio.sleep(_PAUSE_S)
    message = f"{lock} is held by another engine; open with a fresh owner id"
    raise JournalUnavailable(message)
