"""The numbered migrations of a dialect, and what a database of some version is to them (INV-14)."""

from __future__ import annotations

from importlib import resources
from typing import Self

from attrs import frozen

from durable_core.errors import ConfigError, SchemaTooNew
from durable_core.storage.tables import SCHEMA, TABLES

__all__ = ["Migrations", "none_yet", "not_whole"]


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

    def require_whole(self, place: str, tables: frozenset[str], version: object) -> int:
        """The version of a journal that has these tables and says that it has this version.

        `ConfigError` if a part is missing, `SchemaTooNew` for what a newer version wrote. `place`
        is what messages call it, without any password.
        """
        # A migration and its version are one transaction: there is no journal without a version.
        if type(version) is not int or version < 1:
            raise not_whole(place, f"its table {SCHEMA} holds no version")
        if version > self.newest:
            message = (
                f"{place} has schema version {version} and this {self.distribution} knows "
                f"{self.newest}; upgrade {self.distribution}"
            )
            raise SchemaTooNew(message)
        missing = TABLES - tables
        if version == self.newest and missing:
            raise not_whole(place, f"it lacks {', '.join(sorted(missing))}")
        return version


def not_whole(place: str, what: str) -> ConfigError:
    """The error for a journal of which something is missing."""
    return ConfigError(
        f"{place} is no whole journal: {what}; restore it from a backup, or give another URL",
    )


def none_yet(place: str) -> ConfigError:
    """The error for an empty database where a journal has to exist."""
    return ConfigError(
        f"there is no journal in {place} yet: no engine has opened it; check the URL",
    )
