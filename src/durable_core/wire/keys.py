"""Sub-keys: what is derived from a master key, for which purpose, and for how long.

An execution's fingerprints and MACs come from the key it was created under, for life; sealing uses
the current key, and each blob names its own. So a rotation changes nothing for what runs.
"""

from __future__ import annotations

from typing import Final, Self

from attrs import field, frozen
from blake3 import blake3

from durable_core.contracts.keys import MasterKeys
from durable_core.errors import ConfigError
from durable_core.wire.chain import Macs

__all__ = ["ExecutionKeys", "Keyring"]

_PAYLOAD: Final = "durable-core v1 payload"
_JOURNAL_MAC: Final = "durable-core v1 journal-mac"
_FINGERPRINT: Final = "durable-core v1 fingerprint"
_PROMISE: Final = "durable-core v1 promise-token"
_CHECKED_TEXT: Final = b"durable-core key check v1"


def _derive(master: bytes, context: str) -> bytes:
    return blake3(master, derive_key_context=context).digest()


@frozen
class ExecutionKeys:
    """The sub-keys that one execution keeps for life; all None where there is no key at all."""

    key_id: int | None
    fingerprint_key: bytes | None = field(repr=False)
    mac_key: bytes | None = field(repr=False)
    promise_key: bytes | None = field(repr=False)
    macs: Macs | None = field(init=False, repr=False, eq=False)
    """Under `mac_key`."""

    _fingerprints: blake3 = field(init=False, repr=False, eq=False)
    """Copied where none lies ready: so its key is set up once."""

    _idle: list[blake3] = field(init=False, factory=list, repr=False, eq=False)
    """Those that lie ready, as each belongs to one call at a time."""

    @macs.default
    def _under_the_mac_key(self) -> Macs | None:
        return None if self.mac_key is None else Macs(self.mac_key)

    of_waits: dict[str, bytes] = field(init=False, factory=dict, repr=False, eq=False)
    """Fingerprints of waits that were made, by name."""

    @_fingerprints.default
    def _keyed(self) -> blake3:
        if self.fingerprint_key is None:
            return blake3(derive_key_context=_FINGERPRINT)
        return blake3(key=self.fingerprint_key)

    def fingerprint(self, data: bytes) -> bytes:
        """32 bytes over canonical fields: keyed BLAKE3, or `derive_key` where there is no key."""
        try:
            hasher = self._idle.pop()
        except IndexError:
            hasher = self._fingerprints.copy()
        hasher.update(data)
        digest = hasher.digest()
        hasher.reset()
        self._idle.append(hasher)
        return digest


_UNKEYED: Final = ExecutionKeys(None, None, None, None)


@frozen
class Keyring:
    """All sub-keys of an engine, derived once when it opens. Safe to use from any thread."""

    current: int | None
    _payload: dict[int, bytes] = field(repr=False)
    _execution: dict[int, ExecutionKeys] = field(repr=False)
    _checks: dict[int, bytes] = field(repr=False)

    @classmethod
    def derive(cls, masters: MasterKeys | None) -> Self:
        """The sub-keys of every master key; an empty ring where there is none."""
        by_id = {} if masters is None else dict(masters.by_id)
        mac_keys = {key_id: _derive(key, _JOURNAL_MAC) for key_id, key in by_id.items()}
        return cls(
            None if masters is None else masters.current,
            {key_id: _derive(key, _PAYLOAD) for key_id, key in by_id.items()},
            {
                key_id: ExecutionKeys(
                    key_id,
                    _derive(key, _FINGERPRINT),
                    mac_keys[key_id],
                    _derive(key, _PROMISE),
                )
                for key_id, key in by_id.items()
            },
            {
                key_id: blake3(_CHECKED_TEXT, key=mac_key).digest()
                for key_id, mac_key in mac_keys.items()
            },
        )

    @property
    def key_ids(self) -> tuple[int, ...]:
        """The ids of all keys in the ring."""
        return tuple(self._payload)

    def payload_key(self, key_id: int) -> bytes:
        """The key that blobs under `key_id` are sealed with; `ConfigError` if it is not here."""
        try:
            return self._payload[key_id]
        except KeyError:
            raise _missing(key_id) from None

    def execution_keys(self, key_id: int | None) -> ExecutionKeys:
        """The lifelong keys of an execution created under `key_id`; `ConfigError` if not here."""
        if key_id is None:
            return _UNKEYED
        try:
            return self._execution[key_id]
        except KeyError:
            raise _missing(key_id) from None

    def check(self, key_id: int) -> bytes:
        """A MAC of a fixed text: equal checks mean equal keys, and tell nothing else.

        `ConfigError` if the key is not here.
        """
        try:
            return self._checks[key_id]
        except KeyError:
            raise _missing(key_id) from None


def _missing(key_id: int) -> ConfigError:
    return ConfigError(
        f"key id {key_id} is needed to read this journal and is not configured; "
        "add that key to DURABLE_KEY (or the key file) after the current one",
    )
