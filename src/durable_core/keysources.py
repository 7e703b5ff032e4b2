"""Where master keys come from without a plugin: the environment, a file, or a given text.

All of them hold `<id>:<base64url>` entries, of which the first is current. Carries the keys' part
of INV-5: neither an error nor a `repr` shows key material, and an entry is named by its position.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from durable_core.contracts.keys import MasterKeys
from durable_core.errors import ConfigError
from durable_core.secretfile import read_secret_file

__all__ = [
    "KEY_BYTES",
    "KEY_IDS",
    "EnvironmentKeys",
    "KeyFile",
    "TextKeys",
    "generate_key",
    "no_key_error",
    "parse_keys",
]

KEY_BYTES: Final = 32
KEY_IDS: Final = range(1, 256)

_VARIABLE: Final = "DURABLE_KEY"
_ID: Final = re.compile(r"[0-9]{1,3}")
_BASE64URL: Final = re.compile(r"([A-Za-z0-9_-]*)={0,2}")
_MAKE_ONE: Final = "make a key with `durable keygen`"
_KEY_FILE: Final = "key file"


def no_key_error() -> ConfigError:
    """The error where encryption is on and there is no key (INV-8)."""
    message = (
        "no key: set DURABLE_KEY (make one with `durable keygen`), or pass keys=…, "
        "or set encrypt_payload = false to go without"
    )
    return ConfigError(message)


def generate_key(key_id: int = 1) -> str:
    """A new master key from the system's randomness, as an entry for `DURABLE_KEY`.

    `ConfigError` unless `key_id` lies between 1 and 255.
    """
    if key_id not in KEY_IDS:
        message = f"key id {key_id} is out of range; use 1 to 255"
        raise ConfigError(message)
    text = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"{key_id}:{text.rstrip('=')}"


def parse_keys(text: str, source: str = _VARIABLE) -> MasterKeys:
    """The keys in `<id>:<base64url>[,<id>:<base64url>…]`; the first is current, all open.

    Ids are unique numbers from 1 to 255, keys are 32 bytes, and their padding is optional.
    `ConfigError` names `source`, the position of the entry and what is wrong with it.
    """
    by_id: dict[int, bytes] = {}
    for position, entry in enumerate(text.split(","), 1):
        where = f"{source}, entry {position}"
        key_id, digits = _split(entry.strip(), where)
        if key_id in by_id:
            message = f"{where} uses key id {key_id} again; give each key an id of its own"
            raise ConfigError(message)
        by_id[key_id] = _decode(digits, where)
    return MasterKeys(next(iter(by_id)), by_id)


def _split(entry: str, where: str) -> tuple[int, str]:
    """The key id and the unpadded base64url of an entry."""
    number, separator, text = entry.partition(":")
    if not entry:
        raise _unfit(where, "is empty")
    if not separator:
        raise _unfit(where, "has no ':'; an entry is <id>:<base64url>")
    if _ID.fullmatch(number) is None or int(number) not in KEY_IDS:
        raise _unfit(where, "does not begin with a key id, a number from 1 to 255")
    digits = _BASE64URL.fullmatch(text)
    if digits is None:
        raise _unfit(where, "holds characters that are not base64url (A-Z, a-z, 0-9, '-', '_')")
    return int(number), digits[1]


def _decode(digits: str, where: str) -> bytes:
    if len(digits) % 4 == 1:
        raise _unfit(where, "holds base64url of an impossible length; was it cut off?")
    key = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    if len(key) != KEY_BYTES:
        raise _unfit(where, f"holds a key of {len(key)} bytes; it must have {KEY_BYTES}")
    if base64.urlsafe_b64encode(key).rstrip(b"=") != digits.encode():
        raise _unfit(where, "holds base64url that no encoder writes; was it mistyped?")
    return key


def _unfit(where: str, what: str) -> ConfigError:
    """The error for an entry; `what` repeats no part of it."""
    return ConfigError(f"{where} {what}; {_MAKE_ONE}")


@frozen
class EnvironmentKeys:
    """The keys in the environment variable `DURABLE_KEY`, read when they are loaded."""

    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)

    @property
    def present(self) -> bool:
        """Whether the variable is set and not blank."""
        return bool(self.environ.get(_VARIABLE, "").strip())

    def load(self) -> MasterKeys:
        """The keys; `ConfigError` where there is none or an entry is not right."""
        if not self.present:
            raise no_key_error()
        return parse_keys(self.environ[_VARIABLE])


@frozen
class TextKeys:
    """The keys in a text that a program passes."""

    text: str = field(repr=False)

    def load(self) -> MasterKeys:
        """The keys; `ConfigError` where there is none or an entry is not right."""
        if not self.text.strip():
            raise no_key_error()
        return parse_keys(self.text, "keys")


@frozen
class KeyFile:
    """The keys in a file that only its owner can touch, one to a line or separated by commas.

    The owner is this process's effective user, or root. Blank lines do not count.
    """

    path: Path

    def load(self) -> MasterKeys:
        """The keys; `ConfigError` for a file that is missing, exposed to others or not right."""
        text = read_secret_file(self.path, _KEY_FILE, "<id>:<base64url> entries")
        lines = [line.strip().rstrip(",") for line in text.splitlines()]
        entries = [line for line in lines if line]
        name = f"{_KEY_FILE} {self.path}"
        if not entries:
            message = f"{name} holds no key; {_MAKE_ONE} and write it there"
            raise ConfigError(message)
        return parse_keys(",".join(entries), name)
