"""What users call on the public classes, written down here once more, by hand."""

from __future__ import annotations

import attrs
import pytest

from durable_core import (
    ChildHandle,
    DurableConfig,
    DurableContext,
    DurableEngine,
    DurableHandle,
    ExecutionHandle,
)
from durable_core.config import RetentionConfig
from durable_core.contracts import Journal
from durable_core.journal import JournalWriter, JournalWriterHandle

MEMBERS = {
    DurableEngine: [
        "cancel",
        "flush",
        "get",
        "health",
        "latest",
        "list",
        "open",
        "outcome",
        "prune",
        "reject",
        "release",
        "require_open",
        "resolve",
        "resume",
        "run",
        "settle",
        "signal",
        "start",
        "verify",
    ],
    DurableContext: [
        "await_promise",
        "checkpoint",
        "continue_as_new",
        "execution_id",
        "is_replaying",
        "now",
        "parallel",
        "promise",
        "random",
        "receive",
        "run",
        "sleep",
        "sleep_until",
        "start_child",
        "step",
        "uuid",
    ],
    ChildHandle: ["cancel", "id", "result"],
    DurableHandle: ["open", "reject", "resolve"],
    ExecutionHandle: ["cancel", "result", "status"],
    JournalWriterHandle: [
        "append_acked",
        "append_bounded",
        "append_buffered",
        "attach",
        "begin",
        "close",
        "detach",
        "flush",
        "health",
        "new_lane",
    ],
    Journal: [
        "append",
        "ended",
        "finalize",
        "fold",
        "open_usage",
        "prune",
        "read_execution",
        "read_execution_range",
        "reclaim",
    ],
}

SETTINGS = {
    "url": None,
    "encrypt_payload": True,
    "cipher": "xaes-256-gcm",
    "durability": "full",
    "journal_flush_interval_ms": 10,
    "journal_ack_timeout_ms": 5000,
    "journal_queue_capacity": 1024,
    "journal_batch_limit": 1_024,
    "max_payload_bytes": 1_048_576,
    "max_steps_per_execution": 10_000,
    "replay_segment": 100,
    "max_divergences": 1,
    "on_divergence": "block",
    "max_concurrent_executions": None,
    "exporters": (),
}

RETENTION = {
    "ttl_completed_secs": 604_800,
    "ttl_failed_secs": 2_592_000,
    "max_executions": 10_000,
    "max_journal_bytes": 1 << 30,
    "prune_batch_size": 500,
    "prune_interval_secs": 3_600,
}


@pytest.mark.parametrize("owner", list(MEMBERS), ids=lambda owner: str(owner.__name__))
def test_a_public_class_has_exactly_these_members(owner: type) -> None:
    assert sorted(name for name in vars(owner) if not name.startswith("_")) == MEMBERS[owner]


def test_the_writer_stands_behind_its_handle() -> None:
    assert {"start", "close", "health", "flush"} <= set(vars(JournalWriter))


def test_the_settings_have_these_defaults() -> None:
    config, retention = DurableConfig(), RetentionConfig()
    values = {name: getattr(config, name) for name in SETTINGS} | {"durability": "full"}
    assert values == SETTINGS
    assert config.durability.value == SETTINGS["durability"]
    assert attrs.asdict(retention) == RETENTION
    assert config.retention == retention
