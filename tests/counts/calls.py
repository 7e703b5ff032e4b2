"""Counts what the event loop's thread computes: calls of our own functions, hashes, decodings.

By the interpreter's own profiling hook, so that nothing is put in the place of what is counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any, Final, Self

__all__ = ["Calls"]

_OURS: Final = "durable_"
_DECODE: Final = "durable_core.wire.cbor.decode"
_PURPOSES: Final = {
    "durable_core.wire.chain.Macs.of_row": "row hashes",
    "durable_core.wire.chain.Macs.follow": "row hashes",
    "durable_core.wire.chain.Macs.of_anchor": "anchor hashes",
    "durable_core.wire.keys.ExecutionKeys.fingerprint": "fingerprint hashes",
    "durable_core.wire.fingerprint.call_key": "idempotency hashes",
}
"""Where a BLAKE3 digest is taken → what it is for; any other place counts under its own name."""

_MAKES: Final = (".__init__", "durable_core.journal.batching.accepted")
"""What ends like this makes an object: a constructor, or a function that stands in place of one."""


class Calls:
    """Counts between entering and leaving; the same again adds to it."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        """How often each function of ours was entered: called, or resumed where it had waited."""

        self.hashes: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Of all functions of ours."""
        return self.of.total()

    @property
    def objects(self) -> int:
        """How many objects of classes of ours were made by a constructor written in Python."""
        return sum(count for name, count in self.of.items() if name.endswith(_MAKES))

    @property
    def decodings(self) -> int:
        """How often bytes became a value."""
        return self.of[_DECODE]

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            name = _name_of(frame)
            # A comprehension is a function of its own only until Python 3.12.
            if name.startswith(_OURS) and not frame.f_code.co_name.endswith("comp>"):
                self.of[name] += 1
        elif event == "c_call" and called.__name__ == "digest":
            place = _name_of(frame)
            self.hashes[_PURPOSES.get(place, place)] += 1


def _name_of(frame: FrameType) -> str:
    code: CodeType = frame.f_code
    return f"{frame.f_globals.get('__name__', '')}.{code.co_qualname}"
