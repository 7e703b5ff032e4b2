"""Asks a key provider, once, and checks what it hands out before anything relies on it (INV-8).

A provider is code of any author: keys of a wrong length, or none at all, must stop the opening of
an engine here and not end as plaintext on disk. No message shows a byte of a key (INV-5).
"""

from __future__ import annotations

from collections.abc import Mapping

from durable_core.contracts.keys import KeyProvider, MasterKeys
from durable_core.errors import ConfigError, DurableError, PluginError
from durable_core.keysources import KEY_BYTES, KEY_IDS

__all__ = ["load_keys"]


def load_keys(provider: KeyProvider, name: str = "") -> MasterKeys | None:
    """The keys of `provider`: ids from 1 to 255, 32 bytes each, the current one among them.

    None where the provider says that there is no key. `name` is what messages call it, its class
    unless given. `ConfigError` for anything else that it returns and for an object that is no
    provider; `PluginError` for an error of its own, which is named by its type and chained.
    """
    called = f"key provider {name or type(provider).__qualname__!r}"
    if not callable(getattr(provider, "load", None)):
        message = (
            f"keys of type {type(provider).__name__} cannot be used; pass a text as DURABLE_KEY "
            "has it, or a KeyProvider"
        )
        raise ConfigError(message)
    try:
        # Taken as any object: an annotation binds no plugin.
        loaded: object = provider.load()
        keys = _copied(loaded)
    except DurableError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{called} failed with {type(error).__name__}; see the cause"
        raise PluginError(message) from error
    if loaded is None:
        return None
    wrong = _wrong(keys) if keys else f"{type(loaded).__name__}, which is no MasterKeys"
    if wrong:
        message = f"{called} returned {wrong}; a key is 32 bytes under an id from 1 to 255"
        raise ConfigError(message)
    return keys


def _copied(loaded: object) -> MasterKeys | None:
    """The keys with a mapping of their own, that no provider changes later."""
    if not isinstance(loaded, MasterKeys) or not isinstance(loaded.by_id, Mapping):
        return None
    return MasterKeys(loaded.current, dict(loaded.by_id))


def _wrong(keys: MasterKeys) -> str:
    """What makes these keys unusable, in words without a byte of them; empty if nothing does."""
    for key_id, key in keys.by_id.items():
        if not _is_id(key_id):
            return f"a key id ({_shown(key_id)}) that is not a number from 1 to 255"
        if type(key) is not bytes:
            return f"key {key_id} as {type(key).__name__} and not as bytes"
        if len(key) != KEY_BYTES:
            return f"key {key_id} with {len(key)} bytes"
    if not _is_id(keys.current) or keys.current not in keys.by_id:
        return f"the current key id {_shown(keys.current)}, and no key of that id"
    return ""


def _is_id(value: object) -> bool:
    return type(value) is int and value in KEY_IDS


def _shown(value: object) -> str:
    """An id as it may be shown: whatever is no number could be a key that was mistaken for one."""
    return str(value) if type(value) is int else type(value).__name__
