"""What is installed: the entry points of both plugin groups, read without importing any of them.

Owns the gate of the closed group (INV-19): whether a backend's entry point may be loaded is decided
here, from its name, its distribution and its import package alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from attrs import field, frozen

from durable_core.contracts.allowlist import ALLOWED_BACKENDS, BackendPlace
from durable_core.errors import BackendNotAllowed, DurableError, PluginError

__all__ = [
    "BACKEND_GROUP",
    "PLUGIN_GROUP",
    "Entries",
    "InstalledBackend",
    "InstalledPlugin",
    "Origin",
    "installed_backends",
    "installed_plugins",
    "normalized",
    "reason",
    "scan",
]

PLUGIN_GROUP: Final = "durable_core.plugins"
BACKEND_GROUP: Final = "durable_core.backends"

Entries = Mapping[str, Sequence[EntryPoint]]
"""The entry points of both groups, by group."""

_SEPARATORS: Final = re.compile(r"[-_.]+")
_UNKNOWN: Final = "unknown"


@frozen
class Origin:
    """Where a plugin comes from. `distribution` is empty where no entry point led to it."""

    name: str
    """The entry point's name, or that of the object that was given."""

    package: str
    """The import package that holds it."""

    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if not self.distribution:
            return f"{self.name!r} (given by the program)"
        return f"{self.name!r} of {self.distribution} {self.version}"

    def is_at(self, place: BackendPlace) -> bool:
        """Whether distribution (as PEP 503 compares names) and import package are those."""
        return (
            normalized(self.distribution) == normalized(place.distribution)
            and self.package == place.package
        )


@frozen
class InstalledPlugin:
    """One entry point of the open group."""

    origin: Origin
    entry: EntryPoint

    def load(self) -> object:
        """Import what the entry point names; `PluginError` with the cause if that fails."""
        return _load(self.origin, self.entry)


@frozen
class InstalledBackend:
    """One entry point of the closed group, and why it is refused, or None."""

    origin: Origin
    entry: EntryPoint = field(repr=False)
    refusal: BackendNotAllowed | None

    def load(self) -> object:
        """Import what the entry point names, unless it is refused; `PluginError` if that fails."""
        if self.refusal is not None:
            raise self.refusal
        return _load(self.origin, self.entry)


def scan() -> Entries:
    """What is installed, read from the file system once for both groups. Imports nothing."""
    found = entry_points()
    return {group: tuple(found.select(group=group)) for group in (PLUGIN_GROUP, BACKEND_GROUP)}


def installed_plugins(entries: Entries) -> list[InstalledPlugin]:
    """Those of the open group, ordered by name and distribution. Imports nothing."""
    return [InstalledPlugin(origin, entry) for origin, entry in _placed(entries[PLUGIN_GROUP])]


def installed_backends(entries: Entries) -> list[InstalledBackend]:
    """Those of the closed group, each judged. Imports nothing, raises nothing."""
    return [
        InstalledBackend(origin, entry, _refusal(origin, entry))
        for origin, entry in _placed(entries[BACKEND_GROUP])
    ]


def reason(error: BaseException) -> str:
    """What may be shown of a plugin's error: its type, and its text where that holds no secret."""
    if isinstance(error, ImportError | DurableError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def normalized(distribution: str) -> str:
    """The name of a distribution as PEP 503 compares it."""
    return _SEPARATORS.sub("-", distribution).lower()


def _placed(entries: Sequence[EntryPoint]) -> list[tuple[Origin, EntryPoint]]:
    placed = [(_origin(entry), entry) for entry in entries]
    return sorted(placed, key=lambda each: (each[0].name, each[0].distribution))


def _origin(entry: EntryPoint) -> Origin:
    package = _module(entry).partition(".")[0]
    metadata = None if entry.dist is None else entry.dist.metadata  # a file, parsed by each access
    if metadata is None or "Name" not in metadata:
        return Origin(entry.name, package, _UNKNOWN, _UNKNOWN)
    return Origin(entry.name, package, metadata["Name"], metadata["Version"])


def _module(entry: EntryPoint) -> str:
    try:
        return entry.module
    except AttributeError:  # the value does not follow the format, so nothing can be loaded
        return ""


def _refusal(origin: Origin, entry: EntryPoint) -> BackendNotAllowed | None:
    place = ALLOWED_BACKENDS.get(origin.name)
    if place is not None and origin.is_at(place):
        return None
    allowed = ", ".join(
        f"{name!r} of {place.distribution} (package {place.package})"
        for name, place in sorted(ALLOWED_BACKENDS.items())
    )
    return BackendNotAllowed(
        f"backend {origin} ({entry.value}) is not allowed, and its code was not imported: the set "
        f"of storage backends is closed to {allowed}; uninstall {origin.distribution}",
    )


def _load(origin: Origin, entry: EntryPoint) -> object:
    try:
        loaded: object = entry.load()
    except (Exception, SystemExit) as error:
        message = (
            f"plugin {origin} cannot be imported ({reason(error)}); repair or uninstall "
            f"{origin.distribution}"
        )
        raise PluginError(message) from error
    return loaded
