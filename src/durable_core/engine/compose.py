"""Composes an engine: plugins, keys, backend, owner lock, writer. Everything fails closed.

Carries INV-8 (no key and no explicit switch-off: no engine) and INV-14.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from durable_core.clock import SystemClock
from durable_core.config import DurableConfig, redact_url
from durable_core.contracts.backend import BackendSettings, ExecutionBackend
from durable_core.contracts.keys import KeyProvider, MasterKeys
from durable_core.engine.audit import AuditTrail
from durable_core.engine.exporting import MetricsFanout
from durable_core.engine.kin import Kin
from durable_core.engine.notices import Notices
from durable_core.engine.parts import EngineParts
from durable_core.engine.spec import StepSpecs
from durable_core.engine.standing import Standing
from durable_core.engine.threads import StepThreads
from durable_core.engine.timers import Timers
from durable_core.errors import ConfigError
from durable_core.failpoints import Failpoints
from durable_core.ids import RandomIds
from durable_core.journal.handle import JournalWriterHandle
from durable_core.journal.settings import WriterSettings
from durable_core.journal.writer import JournalWriter
from durable_core.keyloading import load_keys
from durable_core.keysources import EnvironmentKeys, KeyFile, TextKeys, no_key_error
from durable_core.registry import Registry
from durable_core.replay.fresh import fresh_cursor
from durable_core.settings import Url
from durable_core.telemetry import NO_METRICS, Recorder, SpanName, Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.keys import Keyring
from durable_core.wire.payload import PayloadCodec

__all__ = [
    "check_keys",
    "compose",
    "find_keys",
    "fitting_keys",
    "open_backend",
    "payload_codec",
    "wire_format",
]

_LOG: Final = logging.getLogger("durable_core.engine")


@asynccontextmanager
async def compose(
    url: str | None,
    config: DurableConfig,
    keys: str | KeyProvider | None,
    registry: Registry | None = None,
) -> AsyncIterator[EngineParts]:
    """The parts of an engine, opened; closed in reverse order on leaving."""
    plugins = registry or Registry.discover()
    masters = find_keys(config, keys, plugins)
    wire = wire_format(config, masters, plugins)
    async with AsyncExitStack() as stack:
        metrics = _metrics(config, plugins, stack)
        audit = AuditTrail([plugins.audit_sink(name) for name in config.audit_sinks])
        stack.push_async_callback(audit.close)
        backend = await open_backend(url or config.url, config, plugins)
        stack.push_async_callback(backend.close)
        if not config.encrypt_payload:
            _refuse_or_warn(backend)
        await check_keys(backend, wire.keyring)
        clock = SystemClock()
        ids = RandomIds(clock)
        owner_id = ids.owner_id()
        standing = Standing(config.journal_ack_timeout_ms)
        await backend.hold_owner_lock(owner_id, standing.change)
        notices = Notices()
        if backend.capabilities.notifies:
            backend.listen(notices.hear)
        timers = Timers(clock)
        stack.callback(timers.close)
        threads = StepThreads(config.max_worker_threads)
        stack.push_async_callback(threads.close, config.close_timeout_ms / 1000)
        writer = JournalWriter(
            backend,
            wire,
            WriterSettings.of(config),
            clock=clock,
            metrics=metrics,
        )
        journal = await stack.enter_async_context(JournalWriterHandle(writer, owner_id))
        tracing = Tracing()
        yield EngineParts(
            config=config,
            backend=backend,
            journal=journal,
            wire=wire,
            codec=payload_codec(config),
            specs=StepSpecs(),
            threads=threads,
            audit=audit,
            metrics=metrics,
            tracing=tracing,
            clock=clock,
            ids=ids,
            failpoints=Failpoints.from_environment(),
            standing=standing,
            notices=notices,
            timers=timers,
            kin=Kin(),
            fresh=fresh_cursor(backend.journal, wire, tracing),
        )


async def open_backend(
    url: str | None,
    config: DurableConfig,
    plugins: Registry,
    *,
    must_exist: bool = False,
) -> ExecutionBackend:
    """The opened backend that the URL's scheme names; `ConfigError` or `PluginError` otherwise.

    With `must_exist` a database that is not there is refused, and not created.
    """
    if url is None or url == "":
        message = (
            "no database: pass a URL such as sqlite:///orders.durable.db, set DURABLE_URL, or "
            'write url = "..." into durable.toml'
        )
        raise ConfigError(message)
    # Strictly, since the scheme is shown: before another "://" a password may stand.
    if not Url().accepts(url):
        given: object = url
        what = repr(redact_url(given)) if isinstance(given, str) else f"a {type(given).__name__}"
        message = (
            f"{what} is no database URL; use a text such as sqlite:///relative.db, "
            "sqlite:////absolute.db, sqlite://:memory: or postgres://user@host/db"
        )
        raise ConfigError(message)
    scheme = url.partition("://")[0]
    backend = plugins.backend(scheme)
    settings = BackendSettings(config.durability, config.journal_ack_timeout_ms, must_exist)
    with Tracing().span(SpanName.BACKEND_OPEN, {"durable.backend": scheme}):
        return await backend.open(url, settings)


def find_keys(
    config: DurableConfig,
    keys: str | KeyProvider | None,
    plugins: Registry,
) -> MasterKeys | None:
    """The master keys: from the caller, else the environment, else the configuration.

    None only where encryption is switched off and there is no key: none is configured, the caller
    gives an empty text, or the provider has none.
    """
    found = _load_keys(config, keys, plugins)
    if found is None and config.encrypt_payload:
        raise no_key_error()
    return found


def _load_keys(
    config: DurableConfig,
    keys: str | KeyProvider | None,
    plugins: Registry,
) -> MasterKeys | None:
    environment = EnvironmentKeys()
    if isinstance(keys, str):
        return TextKeys(keys).load() if keys.strip() else None
    if keys is not None:
        return load_keys(keys)
    if environment.present:
        return environment.load()
    if config.key_file is not None:
        return KeyFile(Path(config.key_file)).load()
    if config.key_provider is not None:
        return load_keys(plugins.key_provider(config.key_provider), config.key_provider)
    return None


def wire_format(
    config: DurableConfig,
    masters: MasterKeys | None,
    plugins: Registry,
) -> WireFormat:
    """Sub-keys, the sealing cipher and every cipher that can open."""
    return WireFormat(
        Keyring.derive(masters),
        plugins.cipher(config.cipher) if masters is not None and config.encrypt_payload else None,
        plugins.ciphers(),
        config.max_payload_bytes,
        config.accept_unstamped,
    )


def payload_codec(config: DurableConfig) -> PayloadCodec:
    """The codec of an engine's values, which leaves room for the outcome byte in front of one.

    Otherwise a result could be encoded that the journal then refuses: an effect without a close.
    """
    return PayloadCodec(config.max_payload_bytes - 1)


async def check_keys(backend: ExecutionBackend, keyring: Keyring) -> None:
    """`ConfigError` if a key id holds other bytes than this database was written with.

    Nothing is stored: the check of a key that is new here goes with what is first written under it.
    """
    stored = await backend.key_checks()
    for key_id in keyring.key_ids:
        check = keyring.check(key_id)
        if stored.get(key_id, check) != check:
            message = (
                f"key id {key_id} is configured with other key bytes than this database was "
                "written with; configure the right key, or give the new key an id of its own"
            )
            raise ConfigError(message)


async def fitting_keys(backend: ExecutionBackend, masters: MasterKeys) -> Keyring:
    """The ring of those keys that this database knows or has never seen, for who can go without."""
    stored = await backend.key_checks()
    ring = Keyring.derive(masters)
    by_id = {
        key_id: key
        for key_id, key in masters.by_id.items()
        if stored.get(key_id, ring.check(key_id)) == ring.check(key_id)
    }
    return Keyring.derive(MasterKeys(masters.current, by_id) if by_id else None)


def _metrics(config: DurableConfig, plugins: Registry, stack: AsyncExitStack) -> Recorder:
    if not config.exporters:
        return NO_METRICS
    fanout = MetricsFanout([plugins.exporter(name) for name in config.exporters])
    fanout.start()
    seconds = config.close_timeout_ms / 1000
    stack.push_async_callback(asyncio.to_thread, fanout.close, seconds)
    return fanout


def _refuse_or_warn(backend: ExecutionBackend) -> None:
    if backend.capabilities.shared:
        message = (
            f"encrypt_payload = false is not allowed on {backend.name}: its database is shared; "
            "configure a key"
        )
        raise ConfigError(message)
    _LOG.warning(
        "payloads are NOT encrypted in %s: encrypt_payload is switched off",
        backend.address,
    )
