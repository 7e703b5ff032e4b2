"""The way of measurements to exporters: a bounded queue and one thread, apart from the event loop.

An exporter that raises or blocks costs measurements, which are counted, and nothing else (INV-17).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final

from durable_core.contracts.metrics import MetricsExporter
from durable_core.telemetry import METRICS

__all__ = ["MetricsFanout"]

_LOG: Final = logging.getLogger(__name__)
_CAPACITY: Final = 16_384
_LINGER_SECS: Final = 0.05
_DROPPED: Final = "durable.metrics.dropped"
_THREAD: Final = "durable-metrics"


class _Guarded:
    """One exporter. As a context manager it swallows what a call raises, and remembers it."""

    __slots__ = ("exporter", "failures", "name")

    def __init__(self, exporter: MetricsExporter) -> None:
        self.exporter = exporter
        self.name = type(exporter).__qualname__
        self.failures = 0

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if kind is None:
            return True
        self.failures += 1
        if self.failures == 1:
            # Its message may hold what the exporter was about to send, or where to.
            _LOG.warning(
                "metrics exporter %s raised %s; from now on its failures are only counted",
                self.name,
                kind.__name__,
            )
        return True


class MetricsFanout:
    """A `Recorder` that hands each measurement to every exporter, on a daemon thread of its own.

    `record` may be called from any thread, before `start` too; it never waits and never raises. A
    measurement that finds the queue full or the fanout closed is dropped and counted, and so is
    one that an exporter raises for. The count is itself the metric `durable.metrics.dropped`. The
    exporters share the thread, so one that blocks keeps measurements from the others.
    """

    def __init__(
        self,
        exporters: Sequence[MetricsExporter],
        capacity: int = _CAPACITY,
    ) -> None:
        self._guarded = [_Guarded(exporter) for exporter in exporters]
        self._capacity = capacity
        self._queue = SimpleQueue[tuple[str, float]]()
        self._closing = threading.Event()
        self._given_up = False
        self._lock = threading.Lock()
        self._dropped = 0
        self._told = 0
        # Daemon: an exporter that blocks for ever must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    @property
    def dropped(self) -> int:
        """How many measurements did not reach an exporter, so far."""
        return self._dropped

    def start(self) -> None:
        """Start the thread; it prepares the exporters and then drains the queue. Call it once."""
        self._thread.start()

    def record(self, name: str, value: float) -> None:
        """Queue one measurement, or drop and count it."""
        if self._queue.qsize() < self._capacity and not self._closing.is_set():
            self._queue.put((name, value))
        else:
            self._drop(1)

    def close(self, timeout: float) -> bool:
        """Hand out what is queued, close the exporters, and end the thread; whether it ended.

        Waits at most `timeout` seconds, so call it off the event loop. Where that is not enough,
        what is left is counted as dropped and reported at WARN; the thread hands out no more.
        Idempotent.
        """
        self._closing.set()
        if self._thread.ident is None:
            self._discard()
            return True
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._discard()
            return True
        self._given_up = True
        left = self._discard()
        _LOG.warning(
            "metrics exporters did not finish within %g s; %d measurements were left and are lost",
            timeout,
            left,
        )
        return False

    def _run(self) -> None:
        self._prepare()
        while not self._closing.is_set():
            self._drain()
            # One wake-up for many measurements: waking for each would make the event loop's
            # thread give way to this one again and again.
            self._closing.wait(_LINGER_SECS)
        self._drain()
        for guarded in self._guarded:
            with guarded:
                guarded.exporter.close()

    def _prepare(self) -> None:
        usable = []
        for guarded in self._guarded:
            with guarded:
                guarded.exporter.prepare(METRICS)
            if guarded.failures == 0:
                usable.append(guarded)
        self._guarded = usable

    def _drain(self) -> None:
        while not self._given_up:
            try:
                name, value = self._queue.get_nowait()
            except Empty:
                break
            self._hand_out(name, value)
        self._tell_losses()

    def _hand_out(self, name: str, value: float) -> None:
        lost = not self._guarded
        for guarded in self._guarded:
            before = guarded.failures
            with guarded:
                guarded.exporter.record(name, value)
            lost = lost or guarded.failures > before
        if lost:
            self._drop(1)

    def _tell_losses(self) -> None:
        """Pass on what was lost since the last time. Losing this count is not itself counted."""
        dropped = self._dropped
        if dropped == self._told or self._given_up:
            return
        for guarded in self._guarded:
            with guarded:
                guarded.exporter.record(_DROPPED, dropped - self._told)
        self._told = dropped

    def _drop(self, count: int) -> None:
        with self._lock:
            self._dropped += count

    def _discard(self) -> int:
        left = 0
        while True:
            try:
                self._queue.get_nowait()
            except Empty:
                break
            left += 1
        self._drop(left)
        return left
