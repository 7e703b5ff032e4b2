"""What backends say when a database refuses, in the same words: the errors of the contract.

Messages hold where the journal is, without a password, and the driver's name of the condition.
"""

from __future__ import annotations

from durable_core.errors import ConfigError, EntryRejected, JournalUnavailable

__all__ = ["closed", "rejected", "unusable", "unusable_url"]


def closed(place: str) -> JournalUnavailable:
    """For whoever uses a backend after its end."""
    return JournalUnavailable(f"the connection to {place} is closed; open the journal again")


def rejected(place: str, condition: str) -> EntryRejected:
    """For a row that can never be stored as it is."""
    return EntryRejected(f"{place} cannot hold an entry of this batch as it is ({condition})")


def unusable(place: str, remedy: str) -> JournalUnavailable:
    """For a store that takes no commits."""
    return JournalUnavailable(f"cannot use {place}: {remedy}")


def unusable_url(place: str, remedy: str) -> ConfigError:
    """For what cannot be a journal from the start, so that the URL is the mistake."""
    return ConfigError(f"cannot use {place} as a journal: {remedy}")
