"""Resolves a promise from a process that runs no engine: a web handler, a script, an operator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from durable_core.clock import SystemClock
from durable_core.config import DurableConfig
from durable_core.contracts.keys import KeyProvider
from durable_core.engine.compose import (
    check_keys,
    find_keys,
    open_backend,
    payload_codec,
    wire_format,
)
from durable_core.engine.resolving import Resolver
from durable_core.ids import PromiseId, promise_id_of
from durable_core.registry import Registry

__all__ = ["DurableHandle"]


class DurableHandle:
    """One promise and the token that resolves it. Made by `DurableHandle.open`.

        async with DurableHandle.open(url, promise_id, token) as promise:
            await promise.resolve("approved")

    For any task of the event loop that opened it. It holds no owner lock and writes no journal: it
    files a request, which the engine that runs the execution journals.
    """

    def __init__(self, resolver: Resolver, promise_id: PromiseId, token: bytes) -> None:
        self._resolver = resolver
        self.promise_id = promise_id
        self._token = token

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str | None,
        promise_id: PromiseId | str,
        token: bytes,
        *,
        keys: str | KeyProvider | None = None,
        config: DurableConfig | None = None,
        registry: Registry | None = None,
    ) -> AsyncIterator[DurableHandle]:
        """Open the journal in which the promise stands; nothing is created there.

        `url`, `keys` and `config` as for `DurableEngine.open`; the key of the execution has to be
        among them. `ConfigError` (also where there is no journal), `PluginError`, `SchemaTooNew`,
        `JournalUnavailable`.
        """
        which = promise_id_of(promise_id)
        settings = config or DurableConfig.load()
        plugins = registry or Registry.discover()
        wire = wire_format(settings, find_keys(settings, keys, plugins), plugins)
        async with AsyncExitStack() as stack:
            backend = await open_backend(url or settings.url, settings, plugins, must_exist=True)
            stack.push_async_callback(backend.close)
            await check_keys(backend, wire.keyring)
            current = wire.keyring.current
            if current is not None:
                backend.announce_key(current, wire.keyring.check(current))
            codec, clock = payload_codec(settings), SystemClock()
            resolver = Resolver(backend, wire, codec, clock, settings.journal_ack_timeout_ms)
            yield cls(resolver, which, token)

    async def resolve(self, value: object) -> None:
        """Resolve it with `value`, once; see `DurableEngine.resolve`."""
        await self._resolver.resolve(self.promise_id, self._token, value)

    async def reject(self, reason: str) -> None:
        """Resolve it so that the workflow gets `StepFailed`; see `DurableEngine.reject`."""
        await self._resolver.reject(self.promise_id, self._token, reason)

    def __repr__(self) -> str:
        return f"<DurableHandle of promise {self.promise_id}>"
