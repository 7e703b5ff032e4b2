"""Where a journal lies: the URLs of this backend, and the one path that identifies a journal."""

from __future__ import annotations

import os
from typing import Final

from attrs import frozen

from durable_core.errors import ConfigError

__all__ = ["Location", "parse_url"]

_SCHEME: Final = "sqlite://"
_MEMORY: Final = "sqlite://:memory:"
_LEGAL: Final = "use sqlite:///relative.db, sqlite:////absolute.db or sqlite://:memory:"


@frozen
class Location:
    """A journal's place: the path with every symbolic link resolved, None for one in memory."""

    path: str | None

    @property
    def address(self) -> str:
        """The URL that opens this journal from any working directory."""
        return _MEMORY if self.path is None else f"{_SCHEME}/{self.path}"

    @property
    def owners(self) -> str | None:
        """The directory of the owners' lock files; None in memory."""
        return None if self.path is None else f"{self.path}.owners"


def parse_url(url: str) -> Location:
    """The place that `url` names; `ConfigError` that shows the legal forms for any other text.

    The path is taken as it is written: no percent escapes, no parameters. Symbolic links are
    resolved, so that a journal has one identity whichever way it is reached.
    """
    if url == _MEMORY:
        return Location(None)
    path = url.removeprefix(f"{_SCHEME}/")
    if path == url:
        message = f"the URL does not name a SQLite journal; {_LEGAL}"
        raise ConfigError(message)
    if not path or path.endswith("/") or any(char in path for char in "?#\0"):
        message = (
            f"the URL has no usable path to a file (none, a folder's, or with ? or #); {_LEGAL}"
        )
        raise ConfigError(message)
    return Location(os.path.realpath(path))
