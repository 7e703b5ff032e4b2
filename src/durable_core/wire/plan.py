"""What is known of one annotation: how its values are encoded, and what reading makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from durable_core.errors import DecodeError
from durable_core.wire.cbor import LEAVES

__all__ = ["Plan", "misfit", "require"]


@frozen(eq=False)
class Plan:
    """Made once for each annotation. Safe to use from any thread."""

    name: str
    """The annotation as messages spell it, and as a union's tag."""

    encode: Callable[[Any], bytes]
    """The encoding of a value; raises, with no value in what it says, if the value does not fit."""

    lift: Callable[[Any], Any]
    """The value that decoded CBOR stands for; raises if that does not fit."""

    shapes: frozenset[type]
    """The classes of what its encodings decode to; what a union tells its members apart by."""

    kinds: frozenset[type] = frozenset()
    """The classes whose instances are surely meant for this annotation; empty where none is."""

    exact: bool = True
    """Whether reading surely gives an equal value back, so that nobody needs to look."""

    write: Callable[[Any], bytes] | None = None
    """Encodes an instance of one of `kinds`, without a look at its class; there for values without
    parts whose every encoding is decided by the class alone."""

    read: Callable[[bytes], Any] | None = None
    """The value that `write` makes bytes of, where that is seen at once; else None."""

    unchanging: frozenset[type] = field(init=False)
    """Those of `kinds` whose instances decoding can only give back as they are."""

    @unchanging.default
    def _leaves(self) -> frozenset[type]:
        return self.kinds & LEAVES


def misfit(name: str, value: object) -> DecodeError:
    """`value` is not what the annotation `name` declares. Names types alone (INV-5)."""
    return DecodeError(f"{name} is declared and {type(value).__name__!r} was found")


def require(kind: type, value: object) -> Any:  # noqa: ANN401 - an instance of `kind`
    """`value` where its class is `kind` itself; the error of `misfit` otherwise."""
    if type(value) is not kind:
        raise misfit(kind.__name__, value)
    return value
