"""How notices travel: as payloads of text, which a database passes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from durable_core.contracts.exchange import Notice, NoticeKind

__all__ = ["packed", "unpacked"]

_ID: Final = 32
_IDS: Final = 240
"""Ids of 32 digits, so that a payload stays below 8000 bytes: Postgres takes no longer one."""


def packed(notices: Sequence[Notice]) -> list[str]:
    """The payloads that carry the notices: a kind, a colon, and the ids."""
    ordered = sorted(notices, key=lambda notice: notice.kind.value)
    payloads = []
    for kind, alike in groupby(ordered, key=lambda notice: notice.kind):
        ids = list(dict.fromkeys(notice.execution_id.hex() for notice in alike))
        payloads += [
            f"{kind.value}:{''.join(ids[at : at + _IDS])}" for at in range(0, len(ids), _IDS)
        ]
    return payloads


def unpacked(payload: str) -> list[Notice]:
    """The notices of a payload; none in what no engine of ours sent."""
    word, _, ids = payload.partition(":")
    try:
        kind, raw = NoticeKind(word), bytes.fromhex(ids)
    except ValueError:
        return []
    if len(ids) % _ID or len(raw) * 2 != len(ids):
        return []
    return [Notice(kind, raw[at : at + 16]) for at in range(0, len(raw), 16)]
