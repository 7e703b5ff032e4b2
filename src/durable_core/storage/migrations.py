"""The numbered migrations of a dialect, and what a database of some version is to them (INV-14)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from itertools import islice
from typing import Self

from attrs import frozen

from durable_core.errors import ConfigError, SchemaTooNew
from durable_core.storage.tables import SCHEMA, SINCE, TABLES

__all__ = ["Migrations", "foreign", "is_journal", "none_yet"]


@frozen
class Migrations:
    """The texts of `NNNN_name.sql`, numbered from 1 without a gap. Safe to share."""

    distribution: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, package: str) -> Self:
        """Those in the folder `_migrations` of a backend's package."""
        folder = resources.files(package) / "_migrations"
        files = sorted(folder.iterdir(), key=lambda file: file.name)
        texts = [file.read_text(encoding="utf-8") for file in files if file.name.endswith(".sql")]
        return cls(package.replace("_", "-"), tuple(texts))

    @property
    def newest(self) -> int:
        """The version that a journal has behind all of them."""
        return len(self.texts)

    def pending(self, stored: int) -> Iterator[tuple[int, str]]:
        """The migrations that a journal of version `stored` lacks, each with its number."""
        return islice(enumerate(self.texts, 1), stored, None)

    def require_whole(self, place: str, tables: frozenset[str], version: object) -> int:
        """The version of a journal that has these tables and says that it has this version.

        `ConfigError` if a part is missing, `SchemaTooNew` for what a newer version wrote. `place`
        is what messages call it, without any password.
        """
        # A migration and its version are one transaction: there is no journal without a version.
        if type(version) is not int or version < 1:
            raise _not_whole(place, f"its table {SCHEMA} holds no version")
        if version > self.newest:
            message = (
                f"{place} has schema version {version} and this {self.distribution} knows "
                f"{self.newest}; upgrade {self.distribution}"
            )
            raise SchemaTooNew(message)
        missing = {table for table, since in SINCE.items() if since <= version} - tables
        if missing:
            raise _not_whole(place, f"it lacks {', '.join(sorted(missing))}")
        return version


def is_journal(place: str, tables: frozenset[str], *, marked: bool = False) -> bool:
    """Whether a database with these tables holds a journal, whose version is to be read then.

    False where it is empty, `ConfigError` for anything else. `marked` says that something other
    than the tables shows whose it is.
    """
    ours = marked or len(tables & TABLES) > 1  # one name may be a coincidence
    if tables and not ours:
        raise foreign(place)
    if tables and SCHEMA not in tables:
        raise _not_whole(place, f"its table {SCHEMA} is missing")
    return bool(tables)


def foreign(place: str) -> ConfigError:
    """The error for what is not ours."""
    return ConfigError(
        f"{place} is not a journal of ours, but the database of another application; the journal "
        "wants a database of its own, or on Postgres a schema",
    )


def _not_whole(place: str, what: str) -> ConfigError:
    """The error for a journal of which something is missing."""
    return ConfigError(
        f"{place} is no whole journal: {what}; restore it from a backup, or give another URL",
    )


def none_yet(place: str) -> ConfigError:
    """The error for an empty database where a journal has to exist."""
    return ConfigError(
        f"there is no journal in {place} yet: no engine has opened it; check the URL",
    )
