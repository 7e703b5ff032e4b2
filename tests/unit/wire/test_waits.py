"""The details of timers, promises and signals: what is written is read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durable_core.errors import DecodeError
from durable_core.wire.payload import dump
from durable_core.wire.waits import (
    LATEST_MS,
    CreatedPromise,
    Signal,
    Timer,
    fired_detail,
    fired_timer,
    resolved_detail,
    resolved_promise,
)

PROMISE = bytes(range(16))


def test_what_is_written_is_read() -> None:
    timer = Timer("0.1.t3", LATEST_MS)
    assert Timer.decode(timer.detail()) == timer
    assert fired_timer(fired_detail("t0")) == "t0"
    created = CreatedPromise(PROMISE, "né")
    assert CreatedPromise.decode(created.detail()) == created
    assert resolved_promise(resolved_detail(PROMISE)) == PROMISE
    signal = Signal(PROMISE, "né", b"r" * 16)
    assert Signal.find(signal.detail()) == signal
    assert resolved_promise(signal.detail()) == PROMISE
    assert Signal.find(resolved_detail(PROMISE)) is None


@pytest.mark.parametrize("decode", [Timer.decode, fired_timer, CreatedPromise.decode])
@pytest.mark.parametrize(
    "detail",
    [
        None,
        b"",
        dump([]),
        dump(["t0", -1]),
        dump(["t0", LATEST_MS + 1]),
        dump([7]),
        dump([PROMISE[:-1], "name"]),
        dump([PROMISE, 7]),
    ],
)
def test_anything_else_is_refused(decode: Callable[[bytes | None], object], detail: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(detail)


@pytest.mark.parametrize(
    "detail", [None, dump([]), dump([PROMISE[:-1]]), dump([PROMISE, "name"]), dump(["text"])]
)
def test_a_resolution_of_nothing_is_refused(detail: bytes | None) -> None:
    with pytest.raises(DecodeError):
        resolved_promise(detail)
