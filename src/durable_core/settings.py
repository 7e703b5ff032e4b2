"""What the value of a setting may be: rules that check a value and read one from text.

A rule says what is legal, and an error that follows from it names the setting, the type of what
was found and what would be legal. It never shows the value: a URL may hold a password (INV-5).
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final
from urllib.parse import unquote_plus

from attrs import Attribute, frozen

from durable_core.errors import ConfigError

__all__ = [
    "Choice",
    "Flag",
    "Integer",
    "Name",
    "Names",
    "Rule",
    "Text",
    "Url",
    "illegal",
    "redact_url",
    "unknown",
]

_HIDDEN: Final = "***"
_DIGITS: Final = re.compile(r"-?[0-9]{1,18}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_USER_INFO: Final = re.compile(r"(://[^:@/?#]*:).*@", re.DOTALL)
_PARAMETER: Final = re.compile(r"([?&;])([^=&;]*)=[^&]*")
_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}
_PASSWORDS: Final = ("password", "passwd", "pwd")
_CLOSE_ENOUGH: Final = 0.5


def illegal(key: str, value: object, legal: str, source: str = "") -> ConfigError:
    """The error for a value that `key` may not have; `source` says where it stands."""
    where = f" ({source})" if source else ""
    message = f"setting {key!r}{where}: a value of type {type(value).__name__} that is not legal; "
    return ConfigError(f"{message}use {legal}")


def unknown(name: str, source: str, legal: Iterable[str]) -> ConfigError:
    """The error for a name in `source` that is no setting: with the nearest legal name, or all."""
    names = sorted(legal)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=_CLOSE_ENOUGH)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"legal names: {', '.join(names)}"
    return ConfigError(f"unknown setting {name!r} in {source}; {hint}")


def redact_url(url: str) -> str:
    """`url` with every password replaced by `***`; text that is no URL is hidden as a whole.

    Covers the user part and query parameters that are named for a password. A password that holds
    characters which should have been escaped is hidden too, at the price of hiding more of the URL
    than needed: everything up to the last `@`. Never raises.
    """
    if _SCHEME.match(url) is None:
        return _HIDDEN
    return _USER_INFO.sub(rf"\1{_HIDDEN}@", _PARAMETER.sub(_redact_parameter, url), count=1)


def _redact_parameter(found: re.Match[str]) -> str:
    secret = unquote_plus(found[2]).strip().lower().endswith(_PASSWORDS)
    return f"{found[1]}{found[2]}={_HIDDEN}" if secret else found[0]


class Rule(ABC):
    """What one setting may be. Calling it is an attrs validator that raises `ConfigError`."""

    def __call__(self, instance: object, attribute: Attribute[Any], value: object) -> None:
        """Refuse `value`; the class of `instance` may put a `SETTING_PREFIX` before the name."""
        if not self.accepts(value):
            key = f"{getattr(instance, 'SETTING_PREFIX', '')}{attribute.name}"
            raise illegal(key, value, self.legal)

    @property
    @abstractmethod
    def legal(self) -> str:
        """The legal values, in words that follow "use"."""

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Whether `value` has the right type and lies in the range."""

    @abstractmethod
    def parse(self, text: str) -> object:
        """The value that `text` spells, or `text` itself where it spells none of this type."""


@frozen
class Integer(Rule):
    """A whole number from `low` to `high`, both included; None too where it is optional."""

    low: int
    high: int
    optional: bool = False

    @property
    def legal(self) -> str:
        """The range, in words."""
        tail = ", or leave it unset" if self.optional else ""
        return f"an integer from {self.low} to {self.high}{tail}"

    def accepts(self, value: object) -> bool:
        """A bool is no integer here."""
        if value is None:
            return self.optional
        return type(value) is int and self.low <= value <= self.high

    def parse(self, text: str) -> object:
        """Decimal digits only; the empty text is None where the setting is optional."""
        if self.optional and not text:
            return None
        return int(text) if _DIGITS.fullmatch(text) else text


@frozen
class Flag(Rule):
    """True or false."""

    legal: ClassVar[str] = "true or false"

    def accepts(self, value: object) -> bool:
        """Nothing but the two."""
        return isinstance(value, bool)

    def parse(self, text: str) -> object:
        """`true`, `false`, `1` or `0`, in any case."""
        return _WORDS.get(text.lower(), text)


@frozen
class Text(Rule):
    """Any text but the empty one; None too."""

    legal: ClassVar[str] = "a text that is not empty, or leave it unset"

    def accepts(self, value: object) -> bool:
        """None, or text without NUL."""
        return value is None or (isinstance(value, str) and value != "" and "\0" not in value)

    def parse(self, text: str) -> object:
        """The text itself; the empty one is None."""
        return text or None


@frozen
class Url(Rule):
    """`<backend>://…`; None too. Which backends there are is not decided here."""

    legal: ClassVar[str] = (
        "a URL such as sqlite:///relative.db, sqlite:////absolute.db or postgres://user@host/db"
    )

    def accepts(self, value: object) -> bool:
        """None, or text that begins with a scheme."""
        return value is None or (isinstance(value, str) and _SCHEME.match(value) is not None)

    def parse(self, text: str) -> object:
        """The text itself; the empty one is None."""
        return text or None


@frozen
class Name(Rule):
    """The name of a plugin; None too where it is optional."""

    optional: bool = False

    @property
    def legal(self) -> str:
        """The alphabet, in words."""
        tail = ", or leave it unset" if self.optional else ""
        return f"a plugin's name (letters, digits, '.', '_' and '-'){tail}"

    def accepts(self, value: object) -> bool:
        """One name."""
        if value is None:
            return self.optional
        return isinstance(value, str) and _NAME.fullmatch(value) is not None

    def parse(self, text: str) -> object:
        """The text itself; the empty one is None where the setting is optional."""
        return None if self.optional and not text else text


@frozen
class Names(Rule):
    """A list of different plugin names, possibly empty."""

    legal: ClassVar[str] = "a list of different plugin names (letters, digits, '.', '_' and '-')"

    def accepts(self, value: object) -> bool:
        """A list or tuple; a bare text is none."""
        if not isinstance(value, list | tuple):
            return False
        names = [name for name in value if isinstance(name, str) and _NAME.fullmatch(name)]
        return len(names) == len(value) == len(set(names))

    def parse(self, text: str) -> object:
        """Names separated by commas, spaces around them ignored; the empty text is no name."""
        return tuple(name.strip() for name in text.split(",")) if text.strip() else ()


@frozen
class Choice(Rule):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def legal(self) -> str:
        """The words."""
        return " or ".join(repr(word) for word in self.words)

    def accepts(self, value: object) -> bool:
        """One of the words, in this very spelling."""
        return isinstance(value, str) and value in self.words

    def parse(self, text: str) -> object:
        """The text itself."""
        return text
