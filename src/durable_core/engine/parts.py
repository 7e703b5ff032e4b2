"""What an opened engine is made of; every run shares it."""

from __future__ import annotations

from attrs import frozen

from durable_core.clock import Clock
from durable_core.config import DurableConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.engine.audit import AuditTrail
from durable_core.engine.kin import Kin
from durable_core.engine.notices import Notices
from durable_core.engine.outcome import Failure, failure_of
from durable_core.engine.spec import StepSpecs
from durable_core.engine.standing import Standing
from durable_core.engine.threads import StepThreads
from durable_core.engine.timers import Timers
from durable_core.failpoints import Failpoints
from durable_core.ids import IdSource
from durable_core.journal.handle import JournalWriterHandle
from durable_core.journal.writer import JournalWriter
from durable_core.replay.cursor import ReplayCursor
from durable_core.telemetry import Recorder, Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.payload import PayloadCodec

__all__ = ["EngineParts"]


@frozen
class EngineParts:
    """Composed once by `DurableEngine.open`, never changed."""

    config: DurableConfig
    backend: ExecutionBackend
    journal: JournalWriterHandle
    wire: WireFormat
    codec: PayloadCodec
    specs: StepSpecs
    threads: StepThreads
    audit: AuditTrail
    metrics: Recorder
    tracing: Tracing
    clock: Clock
    ids: IdSource
    failpoints: Failpoints
    standing: Standing
    notices: Notices
    timers: Timers
    kin: Kin
    fresh: ReplayCursor
    """Of every execution that begins here."""

    def failure_of(self, error: BaseException, attempts: int = 1) -> Failure:
        """The record of `error` that a journal entry can hold."""
        return failure_of(error, attempts, self.config.max_payload_bytes)

    @property
    def writer(self) -> JournalWriter:
        """The writer behind `journal`."""
        return self.journal.writer
