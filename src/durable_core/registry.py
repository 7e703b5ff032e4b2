"""Which plugins there are and which one a name means: what an engine is composed from.

Owns the fail-closed rule of INV-19 and its sisters: while anything is installed that must be
refused (a backend outside the closed set, two plugins of one name, a plugin that does not import),
no engine opens, whichever plugins it would have used. Nothing is found or imported before
`Registry.discover` is called, and nothing of pluggy is left once it returns.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Final, Self, cast

from attrs import frozen

from durable_core.composition import Composition, Offer, PluginKind, Refusal, compose, make
from durable_core.contracts.allowlist import ALLOWED_BACKENDS
from durable_core.contracts.audit import AuditSink
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.cipher import PayloadCipher
from durable_core.contracts.keys import KeyProvider
from durable_core.contracts.metrics import MetricsExporter
from durable_core.discovery import (
    Entries,
    InstalledBackend,
    Origin,
    installed_backends,
    installed_plugins,
    scan,
)
from durable_core.errors import PluginConflict, PluginError, PluginNotFound

__all__ = ["PluginInfo", "PluginKind", "Registry"]

_HOMES: Final = {
    **{(PluginKind.BACKEND, name): place.distribution for name, place in ALLOWED_BACKENDS.items()},
    (PluginKind.CIPHER, "xaes-256-gcm"): "durable-aead",
    (PluginKind.EXPORTER, "otel"): "durable-otel",
    (PluginKind.EXPORTER, "prometheus"): "durable-prometheus",
}
"""Which package to install for the names that durable-core itself provides for."""


@frozen
class PluginInfo:
    """One line of `durable plugins`. `contract` is None where it cannot be told unimported."""

    kind: PluginKind
    name: str
    distribution: str
    version: str
    contract: int | None
    refusal: str | None
    """Why it is refused, or None where it can be used."""

    @property
    def usable(self) -> bool:
        """Whether an engine can be composed with it."""
        return self.refusal is None


@frozen(eq=False)
class Registry:
    """The plugins of one process at one time, checked. Immutable; safe to use from any thread."""

    _backends: Mapping[str, InstalledBackend]
    _offers: Mapping[tuple[PluginKind, str], Offer]
    _refusals: tuple[Refusal, ...]

    @classmethod
    def discover(cls, *, strict: bool = True) -> Self:
        """What is installed: every plugin of the open group imported and asked, backends listed.

        Raises the first refusal, those of backends first: `BackendNotAllowed`, `PluginConflict`
        for names, hooks, contracts and format bytes, `PluginError` for code that fails. Without
        `strict` it raises nothing, `describe` lists the refusals, and the first look-up raises.
        Reads the file system and imports code, so it belongs to start-up.
        """
        entries = scan()
        sources = [(plugin.origin, plugin.load) for plugin in installed_plugins(entries)]
        return cls._composed(sources, entries, strict=strict)

    @classmethod
    def of(cls, *plugins: object, strict: bool = True) -> Self:
        """The same with the given plugin modules or objects in place of the open group's.

        Backends are the installed ones, since the closed group has no other way in.
        """
        return cls._composed([_given(plugin) for plugin in plugins], scan(), strict=strict)

    @classmethod
    def _composed(
        cls,
        sources: Iterable[tuple[Origin, Callable[[], object]]],
        entries: Entries,
        *,
        strict: bool,
    ) -> Self:
        backends = installed_backends(entries)
        refused = [
            Refusal(PluginKind.BACKEND, backend.origin.name, backend.origin, None, backend.refusal)
            for backend in backends
            if backend.refusal is not None
        ]
        # With an offender installed no engine opens: then a strict caller needs no plugin's code.
        composed = Composition((), ()) if refused and strict else compose(sources)
        registry = cls(
            {backend.origin.name: backend for backend in backends if backend.refusal is None},
            {(offer.kind, offer.provided.name): offer for offer in composed.offers},
            (*refused, *composed.refusals),
        )
        if strict:
            registry._require_sound()
        return registry

    def backend(self, scheme: str) -> type[ExecutionBackend]:
        """The backend that serves URLs of `scheme`; the one place where a backend is imported.

        `PluginNotFound` names the package to install, `PluginError` a package that does not
        import, `PluginConflict` one whose class is not the backend of that name.
        """
        self._require_sound()
        installed = self._backends.get(scheme)
        if installed is None:
            raise _not_found(PluginKind.BACKEND, scheme, self._backends)
        backend = installed.load()
        if (
            isinstance(backend, type)
            and issubclass(backend, ExecutionBackend)
            and getattr(backend, "name", None) == scheme
        ):
            return backend
        message = f"plugin {installed.origin} is not the storage backend {scheme!r}; reinstall it"
        raise PluginConflict(message)

    def cipher(self, name: str) -> PayloadCipher:
        """The cipher called `name`, the same object at every call; `PluginNotFound` if none is."""
        return _cipher_of(self._offer(PluginKind.CIPHER, name))

    def ciphers(self) -> Mapping[int, PayloadCipher]:
        """Every cipher by its format byte, to open what any of them has sealed."""
        self._require_sound()
        return {
            offer.format_byte: _cipher_of(offer)
            for offer in self._offers.values()
            if offer.format_byte is not None
        }

    def key_provider(self, name: str) -> KeyProvider:
        """A new key provider; `PluginNotFound` if none has that name. `PluginError` if it fails."""
        return cast("KeyProvider", make(self._offer(PluginKind.KEY_PROVIDER, name)))

    def exporter(self, name: str) -> MetricsExporter:
        """A new exporter; `PluginNotFound` if none has that name. `PluginError` if it fails."""
        return cast("MetricsExporter", make(self._offer(PluginKind.EXPORTER, name)))

    def audit_sink(self, name: str) -> AuditSink:
        """A new audit sink; `PluginNotFound` if none has that name. `PluginError` if it fails."""
        return cast("AuditSink", make(self._offer(PluginKind.AUDIT_SINK, name)))

    def describe(self) -> list[PluginInfo]:
        """Everything that was found, refused or not, by kind and name; imports nothing."""
        usable = [
            _info(PluginKind.BACKEND, backend.origin.name, backend.origin, None, None)
            for backend in self._backends.values()
        ]
        usable += [
            _info(offer.kind, offer.provided.name, offer.origin, offer.provided.contract, None)
            for offer in self._offers.values()
        ]
        refused = [
            _info(refusal.kind, refusal.name, refusal.origin, refusal.contract, refusal.error)
            for refusal in self._refusals
        ]
        kinds = list(PluginKind)
        return sorted(
            usable + refused,
            key=lambda info: (kinds.index(info.kind), info.name, info.distribution),
        )

    def _require_sound(self) -> None:
        if self._refusals:
            raise self._refusals[0].error

    def _offer(self, kind: PluginKind, name: str) -> Offer:
        self._require_sound()
        offer = self._offers.get((kind, name))
        if offer is None:
            raise _not_found(kind, name, [other for its, other in self._offers if its is kind])
        return offer


def _given(plugin: object) -> tuple[Origin, Callable[[], object]]:
    owner = plugin if isinstance(plugin, ModuleType | type) else type(plugin)
    module = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    name = module if isinstance(owner, ModuleType) else f"{module}.{owner.__qualname__}"
    return Origin(name, module.partition(".")[0]), lambda: plugin


def _cipher_of(offer: Offer) -> PayloadCipher:
    return cast("PayloadCipher", offer.cipher)


def _info(
    kind: PluginKind,
    name: str,
    origin: Origin,
    contract: int | None,
    refusal: PluginError | None,
) -> PluginInfo:
    why = None if refusal is None else str(refusal)
    return PluginInfo(kind, name, origin.distribution, origin.version, contract, why)


def _not_found(kind: PluginKind, name: str, available: Iterable[str]) -> PluginNotFound:
    names = sorted(available)
    installed = f"installed: {', '.join(names) or 'none'}"
    home = _HOMES.get((kind, name))
    if home is not None:
        return PluginNotFound(f"{kind.value} {name!r} needs `pip install {home}` ({installed})")
    known = sorted({*names, *(other for its, other in _HOMES if its is kind)})
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    cure = "the set of backends is closed" if kind is PluginKind.BACKEND else "install its package"
    return PluginNotFound(f"no {kind.value} is called {name!r}; {hint}{cure} ({installed})")
