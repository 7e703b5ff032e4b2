"""`DurableConfig.load`: which source wins, and what is wrong in a file or in the environment."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from durable_core.config import DurableConfig, RetentionConfig
from durable_core.errors import ConfigError

CANARY = "canary-5e3f"


def write(folder: Path, text: str) -> Path:
    path = folder / "durable.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("urrl", "did you mean 'url'"),
        ("journal_ack_timeout", "did you mean 'journal_ack_timeout_ms'"),
        ("retentions", "did you mean 'retention'"),
        ("qqqq", "legal names: accept_unstamped, .*, url"),
    ],
)
def test_an_unknown_keyword_is_refused_with_the_nearest(name: str, hint: str) -> None:
    settings: dict[str, Any] = {name: "canary"}
    with pytest.raises(ConfigError, match=rf"'{name}' in DurableConfig\(…\); {hint}") as raised:
        DurableConfig(**settings)
    assert "canary" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"'ttl_secs' in RetentionConfig\(…\)"):
        RetentionConfig(**cast("dict[str, Any]", {"ttl_secs": 5}))


def test_settings_are_copied_as_any_value() -> None:
    config = DurableConfig(journal_batch_limit=7, retention=RetentionConfig(max_executions=8))
    assert copy.deepcopy(config) == copy.copy(config) == config
    assert attrs.evolve(config, journal_batch_limit=9).journal_batch_limit == 9


def test_environment_wins_over_file_and_file_over_default(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[durable]\nreplay_segment = 7\nmax_divergences = 7\nretention.max_executions = 7\n"
        "retention.prune_batch_size = 7\n",
    )
    environ = {"DURABLE_REPLAY_SEGMENT": "8", "DURABLE_RETENTION_MAX_EXECUTIONS": "8"}
    retention = RetentionConfig(max_executions=8, prune_batch_size=7)
    expected = DurableConfig(replay_segment=8, max_divergences=7, retention=retention)
    assert DurableConfig.load(path, environ) == expected


def test_default_file_is_optional_and_stands_in_the_current_directory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert DurableConfig.load(environ={}) == DurableConfig()
    write(tmp_path, "[durable]\nreplay_segment = 7")
    assert DurableConfig.load(environ={}) == DurableConfig(replay_segment=7)


def test_environment_of_the_process_is_the_default(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DURABLE_REPLAY_SEGMENT", "9")
    assert DurableConfig.load(write(tmp_path, "")).replay_segment == 9


def test_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml does not exist") as refused:
        DurableConfig.load(tmp_path / "none.toml", {})
    assert isinstance(refused.value.__cause__, FileNotFoundError)


def test_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        DurableConfig.load(tmp_path, {})


def test_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    path = write(tmp_path, f"[durable]\nurl = postgres://app:{CANARY}@db/orders")
    with pytest.raises(ConfigError, match=r"is not valid TOML: .*line 2") as refused:
        DurableConfig.load(path, {})
    assert CANARY not in f"{refused.value!r} {refused.value.__context__!r}"


def test_ec_27_file_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "durable.toml"
    path.write_bytes(f'url = "postgres://app:{CANARY}@db"'.encode() + b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text") as refused:
        DurableConfig.load(path, {})
    assert CANARY not in f"{refused.value!r} {refused.value.__context__!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[durable]\njournal_batch_limt = 5", "'journal_batch_limt'.*'journal_batch_limit'?"),
        ("[durable]\nretension.max_executions = 5", "'retension'.*did you mean 'retention'?"),
        (
            "[durable.retention]\nmax_execution = 5",
            r"'retention\.max_execution'.*did you mean 'retention\.max_executions'?",
        ),
        ("[durabel]\nurl = 'sqlite:///a.db'", r"'durabel'.*did you mean 'durable'?"),
        ("url = 'sqlite:///a.db'", r"'url' in .*outside of \[durable\]"),
        ("[durable]\nqqqq = 5", "'qqqq'.*legal names: accept_unstamped, audit_sinks, .*, url"),
    ],
)
def test_unknown_name_in_a_file_is_refused_with_the_nearest(
    tmp_path: Path,
    text: str,
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting {message}"):
        DurableConfig.load(write(tmp_path, text), {})


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("durable = 5", "durable", "int"),
        ("[durable]\nretention = 5", "retention", "int"),
        ("[durable]\nurl = 5", "url", "int"),
        ("[durable]\nencrypt_payload = 'no'", "encrypt_payload", "str"),
        ("[durable]\ndurability = true", "durability", "bool"),
        ("[durable]\nreplay_segment = 1.0", "replay_segment", "float"),
        ("[durable]\nexporters = 'otel'", "exporters", "str"),
        ("[durable]\nexporters = ['otel', 5]", "exporters", "list"),
        ("[durable]\nkey_file = 1979-05-27", "key_file", "date"),
        ("[durable.retention]\nmax_executions = '5'", "retention.max_executions", "str"),
    ],
)
def test_illegal_value_in_a_file_names_key_file_and_type(
    tmp_path: Path,
    text: str,
    key: str,
    kind: str,
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        DurableConfig.load(path, {})
    assert f"setting {key!r} ({path}): a value of type {kind} " in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("DURABLE_URL", "url"),
        ("DURABLE_ENCRYPT_PAYLOAD", "encrypt_payload"),
        ("DURABLE_CIPHER", "cipher"),
        ("DURABLE_DURABILITY", "durability"),
        ("DURABLE_REPLAY_SEGMENT", "replay_segment"),
        ("DURABLE_ON_DIVERGENCE", "on_divergence"),
        ("DURABLE_EXPORTERS", "exporters"),
        ("DURABLE_RETENTION_MAX_EXECUTIONS", "retention.max_executions"),
    ],
)
def test_ec_27_illegal_value_in_the_environment_is_named_and_not_shown(
    tmp_path: Path,
    variable: str,
    key: str,
) -> None:
    with pytest.raises(ConfigError) as refused:
        DurableConfig.load(write(tmp_path, ""), {variable: f"{CANARY} x"})
    assert f"setting {key!r} ({variable}): a value of type str " in str(refused.value)
    assert CANARY not in f"{refused.value!r} {refused.value.__context__!r}"


@pytest.mark.parametrize("text", ["", " 5", "5 ", "+5", "0x5", "5_0", "5.0", "\u0665", "9" * 30])
def test_integers_in_the_environment_are_strict(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="'replay_segment'"):
        DurableConfig.load(write(tmp_path, ""), {"DURABLE_REPLAY_SEGMENT": text})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("0", False)])
def test_flags_in_the_environment(tmp_path: Path, text: str, *, value: bool) -> None:
    config = DurableConfig.load(write(tmp_path, ""), {"DURABLE_ENCRYPT_PAYLOAD": text})
    assert config.encrypt_payload is value


@pytest.mark.parametrize("text", ["", "yes", "on", "2", "true "])
def test_other_words_are_no_flags(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="use true or false"):
        DurableConfig.load(write(tmp_path, ""), {"DURABLE_ENCRYPT_PAYLOAD": text})


def test_empty_variable_unsets_what_is_optional(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[durable]\nurl = 'sqlite:///a.db'\nkey_provider = 'vault'\nexporters = ['otel']\n"
        "max_concurrent_executions = 5",
    )
    names = ("URL", "KEY_PROVIDER", "EXPORTERS", "MAX_CONCURRENT_EXECUTIONS")
    environ = {f"DURABLE_{name}": "" for name in names}
    assert DurableConfig.load(path, environ) == DurableConfig()


@pytest.mark.parametrize("text", ["otel,", ",", "otel,otel", "a b"])
def test_lists_in_the_environment_are_strict(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="'exporters'"):
        DurableConfig.load(write(tmp_path, ""), {"DURABLE_EXPORTERS": text})


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("DURABLE_JOURNAL_BATCH_LIMT", "DURABLE_JOURNAL_BATCH_LIMIT"),
        ("DURABLE_KEYS", "DURABLE_KEY"),
        ("DURABLE_RETENTION_MAX_EXECUTION", "DURABLE_RETENTION_MAX_EXECUTIONS"),
        ("DURABLE_Url", "DURABLE_URL"),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest(
    tmp_path: Path,
    variable: str,
    nearest: str,
) -> None:
    with pytest.raises(ConfigError) as refused:
        DurableConfig.load(write(tmp_path, ""), {variable: CANARY})
    assert f"unknown setting {variable!r} in the environment" in str(refused.value)
    assert f"did you mean {nearest!r}?" in str(refused.value)
    assert CANARY not in str(refused.value)


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "DURABLE_KEY": CANARY,
        "DURABLE_FAILPOINT": CANARY,
        "DURABLE_TEST_ANYTHING": CANARY,
        "DURABLED": CANARY,
        "URL": CANARY,
    }
    assert DurableConfig.load(write(tmp_path, ""), environ) == DurableConfig()
