"""What backends, ciphers, key providers, exporters and audit sinks promise: typing, no logic."""

from durable_core.contracts.audit import AuditRecord, AuditSink
from durable_core.contracts.backend import (
    BackendCapabilities,
    BackendSettings,
    Durability,
    ExecutionBackend,
    Journal,
)
from durable_core.contracts.cipher import BoundCipher, PayloadAad, PayloadCipher
from durable_core.contracts.exchange import (
    BatchOutcome,
    Claimable,
    CommitBatch,
    EndedRow,
    Fold,
    FoldedRange,
    HeadChange,
    InboxRow,
    Notice,
    NoticeKind,
    OwnerLoad,
    PromiseRow,
    Stray,
    StrayKind,
    TimerRow,
    Usage,
)
from durable_core.contracts.keys import KeyProvider, MasterKeys
from durable_core.contracts.metrics import MetricKind, MetricsExporter, MetricSpec

__all__ = [
    "AuditRecord",
    "AuditSink",
    "BackendCapabilities",
    "BackendSettings",
    "BatchOutcome",
    "BoundCipher",
    "Claimable",
    "CommitBatch",
    "Durability",
    "EndedRow",
    "ExecutionBackend",
    "Fold",
    "FoldedRange",
    "HeadChange",
    "InboxRow",
    "Journal",
    "KeyProvider",
    "MasterKeys",
    "MetricKind",
    "MetricSpec",
    "MetricsExporter",
    "Notice",
    "NoticeKind",
    "OwnerLoad",
    "PayloadAad",
    "PayloadCipher",
    "PromiseRow",
    "Stray",
    "StrayKind",
    "TimerRow",
    "Usage",
]
