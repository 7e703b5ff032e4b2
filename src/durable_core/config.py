"""Every setting of an engine: its name, default and legal values, and where settings come from.

Settings stand in the table `[durable]` of `durable.toml`, in environment variables
`DURABLE_<FIELD>`, or in a `DurableConfig` that a program builds. Each is checked in every case,
and a name that is no setting is refused. Carries the settings' part of INV-5: a URL is shown
without its password. Secrets themselves are no settings; `DURABLE_KEY` is read elsewhere.
"""

from __future__ import annotations

import enum
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self, cast

import attrs
from attrs import Attribute, AttrsInstance, field, frozen

from durable_core.errors import ConfigError
from durable_core.settings import (
    Choice,
    Flag,
    Integer,
    Name,
    Names,
    Rule,
    Text,
    Url,
    illegal,
    redact_url,
    unknown,
)

__all__ = ["Durability", "DurableConfig", "OnDivergence", "RetentionConfig", "redact_url"]

OnDivergence = Literal["block", "restart"]
"""What to do with a diverged execution that a fresh run cannot follow by itself."""

_FILE: Final = Path("durable.toml")
_TABLE: Final = "durable"
_VARIABLE_PREFIX: Final = "DURABLE_"
_RETENTION: Final = "retention"
_RETENTION_PREFIX: Final = "retention."
_OTHER_VARIABLES: Final = frozenset({"DURABLE_KEY", "DURABLE_FAILPOINT", "DURABLE_PROMISE_TOKEN"})
_TEST_PREFIX: Final = "DURABLE_TEST_"
_HOUR_MS: Final = 3_600_000
_CENTURY_SECS: Final = 3_155_760_000


class Durability(enum.Enum):
    """What an acknowledged commit survives."""

    FULL = "full"
    """The loss of power."""

    NORMAL = "normal"
    """The death of the process, not the loss of power."""


_DURABILITY: Final = Choice(tuple(level.value for level in Durability))


def _as_durability(value: Durability | str) -> Durability:
    try:
        return Durability(value)
    except ValueError:
        # Raised below, not chained: the enum's own error shows the value.
        error = illegal("durability", value, _DURABILITY.legal)
    raise error


def _as_tuple(value: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else value


def _show_url(url: str | None) -> str:
    return repr(url if url is None else redact_url(url))


def _is_retention(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, RetentionConfig):
        raise illegal(attribute.name, value, "a RetentionConfig, in a file a table")


class _Named:
    """Refuses a keyword that names no setting, as a file and the environment do.

    Before `__init__`, whose own `TypeError` knows no hint, and whose signature stays what it is.
    """

    __slots__ = ()

    def __new__(cls, **settings: object) -> Self:
        """An instance yet to be filled; `ConfigError` with the nearest legal name."""
        fields: tuple[Attribute[Any], ...] = attrs.fields(cast("type[AttrsInstance]", cls))
        legal = [one.name for one in fields]
        for name in settings:
            if name not in legal:
                raise unknown(name, f"{cls.__name__}(…)", legal)
        return super().__new__(cls)


@frozen(kw_only=True)
class RetentionConfig(_Named):
    """How long finished executions stay, and how they are pruned; `[durable.retention]`.

    Times are seconds. Running and blocked executions are never pruned. `ConfigError` for a value
    of a wrong type or out of range.
    """

    SETTING_PREFIX: ClassVar[str] = _RETENTION_PREFIX

    ttl_completed_secs: int = field(default=604_800, validator=Integer(0, _CENTURY_SECS))
    ttl_failed_secs: int = field(default=2_592_000, validator=Integer(0, _CENTURY_SECS))
    """For failed, aborted and cancelled executions."""

    max_executions: int = field(default=10_000, validator=Integer(1, 10**9))
    """How many executions there may be, whatever their status; beyond, the first to end goes."""

    max_journal_bytes: int = field(default=1 << 30, validator=Integer(1, 1 << 50))
    """How many bytes all entries may have; beyond, the first to end goes.

    Counted are payloads and details as they are stored, and 256 bytes for the rest of an entry.
    """

    prune_batch_size: int = field(default=500, validator=Integer(1, 100_000))
    """The most rows that one transaction deletes, if no single execution has more.

    Counted are entries, and one row for each execution.
    """

    prune_interval_secs: int = field(default=3_600, validator=Integer(1, 31_536_000))
    """How long an engine waits before it prunes, and between two times."""


@frozen(kw_only=True)
class DurableConfig(_Named):
    """The settings of one engine, immutable, each checked when it is built.

    `ConfigError` names the setting, the type of the value and the legal values; it shows no value.
    A name that is no setting is `ConfigError` too, with the nearest one.
    """

    url: str | None = field(default=None, validator=Url(), repr=_show_url)
    """The journal's database, where a call does not name one."""

    encrypt_payload: bool = field(default=True, validator=Flag())
    """Seal payloads (INV-8). Only a backend that is not shared lets this be switched off."""

    accept_unstamped: bool = field(default=False, validator=Flag())
    """Read executions that carry no stamps although a key is configured (INV-16).

    For a journal that began without a key: it goes on, and nothing of those executions is checked.
    """

    cipher: str = field(default="xaes-256-gcm", validator=Name())
    durability: Durability = field(
        default=Durability.FULL,
        converter=_as_durability,
        metadata={"rule": _DURABILITY},
    )
    journal_flush_interval_ms: int = field(default=10, validator=Integer(0, _HOUR_MS))
    """The longest that a buffered append waits for a commit to begin."""

    journal_ack_timeout_ms: int = field(default=5_000, validator=Integer(1, _HOUR_MS))
    """The longest that an acknowledged append waits before its outcome counts as unknown."""

    journal_queue_capacity: int = field(default=1_024, validator=Integer(1, 1_000_000))
    journal_batch_limit: int = field(default=1_024, validator=Integer(1, 10_000))
    """The most entries of one commit. It begins at the latest when 256 buffered ones wait."""

    max_payload_bytes: int = field(default=1 << 20, validator=Integer(1, 1 << 29))
    """The largest payload, on write and on read (INV-11): an encoded value and one byte for how it
    came about, or all arguments of a call together."""

    max_steps_per_execution: int = field(default=10_000, validator=Integer(1, 10**8))
    replay_segment: int = field(default=100, validator=Integer(1, 100_000))
    max_divergences: int = field(default=1, validator=Integer(0, 1_000))
    on_divergence: OnDivergence = field(default="block", validator=Choice(("block", "restart")))
    max_concurrent_executions: int | None = field(
        default=None,
        validator=Integer(1, 1_000_000, optional=True),
    )
    """How many are at work at once; those that only wait (for a time, a promise) do not count."""

    max_worker_threads: int = field(default=8, validator=Integer(1, 1_024))
    """The size of the pool that plain (not `async`) step functions run in."""

    close_timeout_ms: int = field(default=10_000, validator=Integer(0, _HOUR_MS))
    """How long closing waits for guarded effects, and then each for what is left of the functions,
    for the threads, for the writer and for the exporters.
    """

    key_file: str | None = field(default=None, validator=Text())
    """The path of a file with master keys, used where `DURABLE_KEY` is not set."""

    key_provider: str | None = field(default=None, validator=Name(optional=True))
    """A plugin that supplies master keys, used where `DURABLE_KEY` is not set."""

    exporters: tuple[str, ...] = field(default=(), converter=_as_tuple, validator=Names())
    audit_sinks: tuple[str, ...] = field(default=(), converter=_as_tuple, validator=Names())
    retention: RetentionConfig = field(factory=RetentionConfig, validator=_is_retention)

    def __attrs_post_init__(self) -> None:
        if self.key_file is not None and self.key_provider is not None:
            message = "settings 'key_file' and 'key_provider' are both set; keep one of them"
            raise ConfigError(message)

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> DurableConfig:
        """The settings of a file, overridden by those of the environment.

        Without `path` the file is `durable.toml` in the current directory and may be missing; a
        `path` that is given must exist. `environ` is the process's environment unless given.
        `ConfigError` for a file that cannot be read, an unknown name, or a value that is not legal.
        """
        rules = dict(_rules())
        values: dict[str, Any] = dict(_read_file(path, rules))
        values.update(_read_environment(os.environ if environ is None else environ, rules))
        retention = {
            key.removeprefix(_RETENTION_PREFIX): values.pop(key)
            for key in list(values)
            if key.startswith(_RETENTION_PREFIX)
        }
        return cls(retention=RetentionConfig(**retention), **values)


def _rules() -> Iterator[tuple[str, Rule]]:
    """The rule of each setting, by its name; those of retention by their dotted name."""
    for owner, prefix in ((DurableConfig, ""), (RetentionConfig, _RETENTION_PREFIX)):
        for attribute in attrs.fields(owner):
            rule = attribute.metadata.get("rule", attribute.validator)
            if isinstance(rule, Rule):
                yield prefix + attribute.name, rule


def _read_file(path: Path | None, rules: Mapping[str, Rule]) -> Iterator[tuple[str, object]]:
    source = str(path or _FILE)
    document = _parse_file(path)
    for name in document:
        if name != _TABLE:
            raise unknown(name, f"{source}, outside of [{_TABLE}]", [_TABLE])
    settings = _table(document, _TABLE, source)
    retention = _table(settings, _RETENTION, source)
    nested = {_RETENTION_PREFIX + name: value for name, value in retention.items()}
    for key, value in ({**settings, **nested}).items():
        if key == _RETENTION:
            continue
        if key not in rules:
            raise unknown(key, source, [*rules, _RETENTION])
        if not rules[key].accepts(value):
            raise illegal(key, value, rules[key].legal, source)
        yield key, value


def _table(parent: Mapping[str, object], name: str, source: str) -> dict[str, object]:
    table = parent.get(name, {})
    if not isinstance(table, dict):
        raise illegal(name, table, "a table", source)
    return table


def _parse_file(path: Path | None) -> dict[str, object]:
    source = path or _FILE
    try:
        return tomllib.loads(Path(source).read_bytes().decode())
    except FileNotFoundError as error:
        if path is None:
            return {}
        message = f"configuration file {source} does not exist; give another path or leave it out"
        raise ConfigError(message) from error
    except OSError as error:
        message = f"configuration file {source} cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    except UnicodeDecodeError:
        message = f"configuration file {source} is not UTF-8 text"
    except RecursionError:
        message = f"configuration file {source} is nested too deeply to be read"
    except ValueError as error:
        message = f"configuration file {source} is not valid TOML: {error}"
    # Not chained: those errors can carry the whole file, and with it a password.
    raise ConfigError(message)


def _read_environment(
    environ: Mapping[str, str],
    rules: Mapping[str, Rule],
) -> Iterator[tuple[str, object]]:
    keys = {_VARIABLE_PREFIX + key.replace(".", "_").upper(): key for key in rules}
    for variable in sorted(environ):
        if not variable.startswith(_VARIABLE_PREFIX):
            continue
        if variable in _OTHER_VARIABLES or variable.startswith(_TEST_PREFIX):
            continue
        if variable not in keys:
            raise unknown(variable, "the environment", [*keys, *_OTHER_VARIABLES])
        key = keys[variable]
        value = rules[key].parse(environ[variable])
        if not rules[key].accepts(value):
            raise illegal(key, environ[variable], rules[key].legal, variable)
        yield key, value
