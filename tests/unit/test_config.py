"""Settings: defaults, what each may be, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from durable_core.config import Durability, DurableConfig, RetentionConfig, redact_url
from durable_core.contracts import Durability as DurabilityOfBackends
from durable_core.errors import ConfigError

CANARY = "canary-5e3f"


def write(folder: Path, text: str) -> Path:
    path = folder / "durable.toml"
    path.write_text(text, encoding="utf-8")
    return path


def chain(error: BaseException) -> list[BaseException]:
    """An error and everything that is chained to it."""
    linked = error.__cause__ or error.__context__
    return [error] if linked is None else [error, *chain(linked)]


def shown(error: BaseException) -> str:
    return " ".join(f"{link} {link!r}" for link in chain(error))


def test_defaults() -> None:
    assert attrs.asdict(DurableConfig()) == {
        "url": None,
        "encrypt_payload": True,
        "accept_unstamped": False,
        "cipher": "xaes-256-gcm",
        "durability": Durability.FULL,
        "journal_flush_interval_ms": 10,
        "journal_ack_timeout_ms": 5000,
        "journal_queue_capacity": 1024,
        "journal_batch_limit": 1024,
        "max_payload_bytes": 1048576,
        "max_steps_per_execution": 10000,
        "replay_segment": 100,
        "max_divergences": 1,
        "on_divergence": "block",
        "max_concurrent_executions": None,
        "max_worker_threads": 8,
        "close_timeout_ms": 10000,
        "key_file": None,
        "key_provider": None,
        "exporters": (),
        "audit_sinks": (),
        "retention": {
            "ttl_completed_secs": 604800,
            "ttl_failed_secs": 2592000,
            "max_executions": 10000,
            "max_journal_bytes": 2**30,
            "prune_batch_size": 500,
            "prune_interval_secs": 3600,
        },
    }


def test_is_immutable_and_takes_no_positional_arguments() -> None:
    config = DurableConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.cipher = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        DurableConfig("sqlite:///a.db")  # type: ignore[call-arg]


def test_durability_is_the_enum_of_the_backend_contract() -> None:
    assert Durability is DurabilityOfBackends
    assert DurableConfig(durability="normal").durability is Durability.NORMAL


INTEGERS = [
    ("journal_flush_interval_ms", 0, 3_600_000),
    ("journal_ack_timeout_ms", 1, 3_600_000),
    ("journal_queue_capacity", 1, 1_000_000),
    ("journal_batch_limit", 1, 10_000),
    ("max_payload_bytes", 1, 2**29),
    ("max_steps_per_execution", 1, 10**8),
    ("replay_segment", 1, 100_000),
    ("max_divergences", 0, 1_000),
    ("max_concurrent_executions", 1, 1_000_000),
    ("max_worker_threads", 1, 1_024),
    ("close_timeout_ms", 0, 3_600_000),
]
RETENTION_INTEGERS = [
    ("ttl_completed_secs", 0, 3_155_760_000),
    ("ttl_failed_secs", 0, 3_155_760_000),
    ("max_executions", 1, 10**9),
    ("max_journal_bytes", 1, 2**50),
    ("prune_batch_size", 1, 100_000),
    ("prune_interval_secs", 1, 31_536_000),
]


@pytest.mark.parametrize(("name", "low", "high"), INTEGERS)
def test_integers_hold_their_range(name: str, low: int, high: int) -> None:
    for value in (low, high):
        kept: dict[str, Any] = {name: value}
        assert getattr(DurableConfig(**kept), name) == value
    for refused in (low - 1, high + 1, True, 10.0, "10", b"10"):
        bad: dict[str, Any] = {name: refused}
        legal = f"setting '{name}': .* type {type(refused).__name__} .* from {low} to {high}"
        with pytest.raises(ConfigError, match=legal):
            DurableConfig(**bad)


@pytest.mark.parametrize(("name", "low", "high"), RETENTION_INTEGERS)
def test_retention_integers_hold_their_range(name: str, low: int, high: int) -> None:
    for value in (low, high):
        kept: dict[str, Any] = {name: value}
        assert getattr(RetentionConfig(**kept), name) == value
    for refused in (low - 1, high + 1, False, None, "10"):
        bad: dict[str, Any] = {name: refused}
        legal = rf"'retention\.{name}': .* type {type(refused).__name__} .* from {low} to {high}"
        with pytest.raises(ConfigError, match=legal):
            RetentionConfig(**bad)


def test_every_setting_is_in_a_table_of_this_file() -> None:
    """A field that is added is tested too, or this fails."""
    checked = {name for name, _, _ in INTEGERS} | {name for name, _, _ in ILLEGAL}
    assert {field.name for field in attrs.fields(DurableConfig)} == checked
    checked = {name for name, _, _ in RETENTION_INTEGERS}
    assert {field.name for field in attrs.fields(RetentionConfig)} == checked


ILLEGAL: list[tuple[str, object, str]] = [
    ("url", 5, "a URL such as sqlite:///relative.db"),
    ("url", "orders.db", "a URL such as sqlite:///relative.db"),
    ("url", "", "a URL such as"),
    ("encrypt_payload", 1, "true or false"),
    ("encrypt_payload", "true", "true or false"),
    ("encrypt_payload", None, "true or false"),
    ("accept_unstamped", 1, "true or false"),
    ("cipher", None, "a plugin's name"),
    ("cipher", "", "a plugin's name"),
    ("cipher", "two words", "a plugin's name"),
    ("cipher", b"xaes-256-gcm", "a plugin's name"),
    ("durability", "FULL", "'full' or 'normal'"),
    ("durability", None, "'full' or 'normal'"),
    ("durability", ["full"], "'full' or 'normal'"),
    ("on_divergence", "abort", "'block' or 'restart'"),
    ("on_divergence", True, "'block' or 'restart'"),
    ("key_file", "", "a text that is not empty"),
    ("key_file", "a\0b", "a text that is not empty"),
    ("key_file", 7, "a text that is not empty"),
    ("key_provider", "", "a plugin's name"),
    ("key_provider", "-x", "a plugin's name"),
    ("key_provider", ["vault"], "a plugin's name"),
    ("exporters", "otel", "a list of different plugin names"),
    ("exporters", None, "a list of different plugin names"),
    ("exporters", ("otel", "otel"), "a list of different plugin names"),
    ("exporters", ("otel", 5), "a list of different plugin names"),
    ("exporters", ("",), "a list of different plugin names"),
    ("exporters", {"otel": 1}, "a list of different plugin names"),
    ("audit_sinks", "syslog", "a list of different plugin names"),
    ("audit_sinks", ("a b",), "a list of different plugin names"),
    ("retention", {"max_executions": 5}, "a RetentionConfig"),
    ("retention", None, "a RetentionConfig"),
]


@pytest.mark.parametrize(("name", "value", "legal"), ILLEGAL)
def test_illegal_values_are_refused_by_name_and_type(name: str, value: object, legal: str) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError) as refused:
        DurableConfig(**settings)
    assert f"setting {name!r}: a value of type {type(value).__name__} " in str(refused.value)
    assert f"use {legal}" in str(refused.value)


def test_lists_become_tuples() -> None:
    settings: dict[str, Any] = {"exporters": ["otel", "prometheus"], "audit_sinks": ["a.b-c_d"]}
    config = DurableConfig(**settings)
    assert config.exporters == ("otel", "prometheus")
    assert config.audit_sinks == ("a.b-c_d",)


def test_two_sources_of_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="'key_file' and 'key_provider' are both set"):
        DurableConfig(key_file="/etc/key", key_provider="vault")


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(DurableConfig)])
@pytest.mark.parametrize("value", [f"{CANARY}\0 x", [f"{CANARY} x"], {CANARY: CANARY}])
def test_ec_27_no_value_is_shown_by_a_refusal(name: str, value: object) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError) as refused:
        DurableConfig(**settings)
    assert CANARY not in shown(refused.value)


def test_ec_27_a_repr_shows_no_password() -> None:
    config = DurableConfig(url=f"postgres://app:{CANARY}@db/orders?password={CANARY}")
    assert CANARY not in repr(config)
    assert "url='postgres://app:***@db/orders?password=***'" in repr(config)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("sqlite:///orders.db", "sqlite:///orders.db"),
        ("sqlite:////var/lib/a:b@c.db", "sqlite:////var/lib/a:b@c.db"),
        ("sqlite://:memory:", "sqlite://:memory:"),
        ("postgres://db/orders", "postgres://db/orders"),
        ("postgres://app@db:5432/orders", "postgres://app@db:5432/orders"),
        ("postgres://app:pw@db:5432/orders", "postgres://app:***@db:5432/orders"),
        ("postgres://:pw@db/orders", "postgres://:***@db/orders"),
        ("postgres://app:@db/orders", "postgres://app:***@db/orders"),
        ("postgres://app:p@w@db/orders", "postgres://app:***@db/orders"),
        ("postgres://app:p/w@db/orders", "postgres://app:***@db/orders"),
        ("postgres://app:p?w#x@db/orders", "postgres://app:***@db/orders"),
        ("postgres://app:p:w@[::1/orders", "postgres://app:***@[::1/orders"),
        ("postgres://app:p\nw@db/orders", "postgres://app:***@db/orders"),
        (
            "postgres://db/o?password=pw&sslmode=require",
            "postgres://db/o?password=***&sslmode=require",
        ),
        (
            "postgres://db/o?sslmode=require&Password=p@w",
            "postgres://db/o?sslmode=require&Password=***",
        ),
        ("postgres://db/o?pass%77ord=pw", "postgres://db/o?pass%77ord=***"),
        ("postgres://db/o?sslpassword=pw", "postgres://db/o?sslpassword=***"),
        ("postgres://a:pw@db/o?password=p@w", "postgres://a:***@db/o?password=***"),
        ("host=db password=pw", "***"),
        ("", "***"),
    ],
)
def test_ec_27_redact_url_hides_every_password(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


def test_load_reads_every_setting_of_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [durable]
        url = "sqlite:///orders.db"
        encrypt_payload = false
        accept_unstamped = true
        cipher = "other"
        durability = "normal"
        journal_flush_interval_ms = 20
        journal_ack_timeout_ms = 6000
        journal_queue_capacity = 10
        journal_batch_limit = 11
        max_payload_bytes = 12
        max_steps_per_execution = 13
        replay_segment = 14
        max_divergences = 0
        on_divergence = "restart"
        max_concurrent_executions = 15
        max_worker_threads = 16
        close_timeout_ms = 17
        key_file = "/etc/durable.key"
        exporters = ["otel"]
        audit_sinks = ["syslog"]

        [durable.retention]
        ttl_completed_secs = 21
        ttl_failed_secs = 22
        max_executions = 23
        max_journal_bytes = 24
        prune_batch_size = 25
        prune_interval_secs = 26
        """,
    )
    assert DurableConfig.load(path, {}) == DurableConfig(
        url="sqlite:///orders.db",
        encrypt_payload=False,
        accept_unstamped=True,
        cipher="other",
        durability=Durability.NORMAL,
        journal_flush_interval_ms=20,
        journal_ack_timeout_ms=6000,
        journal_queue_capacity=10,
        journal_batch_limit=11,
        max_payload_bytes=12,
        max_steps_per_execution=13,
        replay_segment=14,
        max_divergences=0,
        on_divergence="restart",
        max_concurrent_executions=15,
        max_worker_threads=16,
        close_timeout_ms=17,
        key_file="/etc/durable.key",
        exporters=("otel",),
        audit_sinks=("syslog",),
        retention=RetentionConfig(
            ttl_completed_secs=21,
            ttl_failed_secs=22,
            max_executions=23,
            max_journal_bytes=24,
            prune_batch_size=25,
            prune_interval_secs=26,
        ),
    )


def test_load_reads_every_setting_of_the_environment(tmp_path: Path) -> None:
    environ = {
        "DURABLE_URL": "sqlite:///orders.db",
        "DURABLE_ENCRYPT_PAYLOAD": "FALSE",
        "DURABLE_ACCEPT_UNSTAMPED": "1",
        "DURABLE_CIPHER": "other",
        "DURABLE_DURABILITY": "normal",
        "DURABLE_JOURNAL_FLUSH_INTERVAL_MS": "20",
        "DURABLE_JOURNAL_ACK_TIMEOUT_MS": "6000",
        "DURABLE_JOURNAL_QUEUE_CAPACITY": "10",
        "DURABLE_JOURNAL_BATCH_LIMIT": "11",
        "DURABLE_MAX_PAYLOAD_BYTES": "12",
        "DURABLE_MAX_STEPS_PER_EXECUTION": "13",
        "DURABLE_REPLAY_SEGMENT": "14",
        "DURABLE_MAX_DIVERGENCES": "0",
        "DURABLE_ON_DIVERGENCE": "restart",
        "DURABLE_MAX_CONCURRENT_EXECUTIONS": "15",
        "DURABLE_MAX_WORKER_THREADS": "16",
        "DURABLE_CLOSE_TIMEOUT_MS": "17",
        "DURABLE_KEY_FILE": "",
        "DURABLE_KEY_PROVIDER": "vault",
        "DURABLE_EXPORTERS": "otel, prometheus",
        "DURABLE_AUDIT_SINKS": "syslog",
        "DURABLE_RETENTION_TTL_COMPLETED_SECS": "21",
        "DURABLE_RETENTION_TTL_FAILED_SECS": "22",
        "DURABLE_RETENTION_MAX_EXECUTIONS": "23",
        "DURABLE_RETENTION_MAX_JOURNAL_BYTES": "24",
        "DURABLE_RETENTION_PRUNE_BATCH_SIZE": "25",
        "DURABLE_RETENTION_PRUNE_INTERVAL_SECS": "26",
    }
    fields = len(attrs.fields(DurableConfig)) - 1 + len(attrs.fields(RetentionConfig))
    assert len(environ) == fields
    path = write(tmp_path, "")
    assert DurableConfig.load(path, environ) == DurableConfig(
        url="sqlite:///orders.db",
        encrypt_payload=False,
        accept_unstamped=True,
        cipher="other",
        durability=Durability.NORMAL,
        journal_flush_interval_ms=20,
        journal_ack_timeout_ms=6000,
        journal_queue_capacity=10,
        journal_batch_limit=11,
        max_payload_bytes=12,
        max_steps_per_execution=13,
        replay_segment=14,
        max_divergences=0,
        on_divergence="restart",
        max_concurrent_executions=15,
        max_worker_threads=16,
        close_timeout_ms=17,
        key_provider="vault",
        exporters=("otel", "prometheus"),
        audit_sinks=("syslog",),
        retention=RetentionConfig(
            ttl_completed_secs=21,
            ttl_failed_secs=22,
            max_executions=23,
            max_journal_bytes=24,
            prune_batch_size=25,
            prune_interval_secs=26,
        ),
    )
