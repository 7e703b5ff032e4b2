"""Every hook that a plugin of the open group `durable_core.plugins` may implement.

pluggy is used only while an engine is being composed. Each hook fires once for each engine that is
opened, returns small descriptions with factories, and must do no work of its own: of the factories
only those that the configuration selects are called, and those of ciphers. No hook is ever called
on the append path or on the step path. A plugin is a module or an object that the entry point
names; a hook that is not in this file makes the composition fail, so a misspelt one is found at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

import pluggy
from attrs import frozen

from durable_core.contracts.audit import AuditSink
from durable_core.contracts.cipher import PayloadCipher
from durable_core.contracts.keys import KeyProvider
from durable_core.contracts.metrics import MetricsExporter

__all__ = [
    "CONTRACT_VERSION",
    "PROJECT",
    "PluginSpecs",
    "Provided",
    "hookimpl",
    "hookspec",
]

PROJECT: Final = "durable_core"

CONTRACT_VERSION: Final = 1
"""The version of the contracts in `durable_core.contracts`; a plugin states the one it meets."""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)

T_co = TypeVar("T_co", covariant=True)


@frozen
class Provided(Generic[T_co]):
    """One thing that a plugin offers: the name that selects it, and how to make it."""

    name: str
    factory: Callable[[], T_co]
    contract: int = CONTRACT_VERSION


class PluginSpecs(Protocol):
    """The hooks. Implement any of them, mark each with `@hookimpl`."""

    @hookspec
    def durable_ciphers(self) -> Iterable[Provided[PayloadCipher]]:
        """Offer payload ciphers.

        Fires once when an engine is opened, or when the command line opens a database. Return one
        `Provided` for each cipher; the setting `cipher` selects one of them for sealing, and every
        one of them can open blobs with its own format byte. The factory is called once per engine,
        selected or not, as the format byte must be known; it must not read keys.
        """
        ...

    @hookspec
    def durable_key_providers(self) -> Iterable[Provided[KeyProvider]]:
        """Offer sources of master keys.

        Fires once when an engine is opened. Return one `Provided` for each source; the setting
        `key_provider` selects one. The factory may read its own environment or files, and does no
        network traffic before `KeyProvider.load` is called.
        """
        ...

    @hookspec
    def durable_metrics_exporters(self) -> Iterable[Provided[MetricsExporter]]:
        """Offer metrics exporters.

        Fires once when an engine is opened. Return one `Provided` for each exporter; the setting
        `exporters` lists the ones that are used. A factory that raises stops the composition; an
        exporter that raises later is counted and dropped.
        """
        ...

    @hookspec
    def durable_audit_sinks(self) -> Iterable[Provided[AuditSink]]:
        """Offer audit sinks.

        Fires once when an engine is opened. Return one `Provided` for each sink; the setting
        `audit_sinks` lists the ones that are used, besides the WARN log, which is always written.
        A factory that raises stops the composition.
        """
        ...
