"""Measurements reach every exporter, and no exporter reaches whoever measures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from durable_aead import plugin as aead
from durable_core import DurableContext, step, workflow
from durable_core.contracts import MetricsExporter, MetricSpec
from durable_core.engine.exporting import MetricsFanout
from durable_core.hookspecs import Provided, hookimpl
from durable_core.registry import Registry
from durable_core.telemetry import METRICS, Recorder
from tests.engines import OpenEngine

CANARY = "canary-5e3f"
STEPS = "durable.engine.steps"
DROPPED = "durable.metrics.dropped"
LONG = 20.0


class Kept:
    """An exporter that keeps what it is called with, and the threads that call it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.specs: Mapping[str, MetricSpec] | None = None
        self.closed = 0
        self.threads: set[str] = set()
        self.called = threading.Condition()

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        assert not self.calls
        self.specs = specs
        self.threads.add(threading.current_thread().name)

    def record(self, name: str, value: float) -> None:
        with self.called:
            self.calls.append((name, value))
            self.called.notify_all()
        self.threads.add(threading.current_thread().name)

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.current_thread().name)

    def wait_for(self, reached: Callable[[list[tuple[str, float]]], bool]) -> None:
        with self.called:
            assert self.called.wait_for(lambda: reached(self.calls), LONG)


class Raising(Kept):
    """An exporter that raises in the methods of these names."""

    def __init__(self, *where: str, error: type[BaseException] = ValueError) -> None:
        super().__init__()
        self.where = where
        self.error = error

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        super().prepare(specs)
        self.fail("prepare")

    def record(self, name: str, value: float) -> None:
        super().record(name, value)
        self.fail("record")

    def close(self) -> None:
        super().close()
        self.fail("close")

    def fail(self, place: str) -> None:
        if place in self.where:
            raise self.error(CANARY)


class Blocking(Kept):
    """An exporter whose first `record` waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()

    def record(self, name: str, value: float) -> None:
        self.reached.set()
        assert self.go.wait(LONG)
        super().record(name, value)


@contextmanager
def running(*exporters: Kept, capacity: int = 1000) -> Iterator[MetricsFanout]:
    fanout = MetricsFanout(exporters, capacity)
    fanout.start()
    try:
        yield fanout
    finally:
        for exporter in exporters:
            if isinstance(exporter, Blocking):
                exporter.go.set()
        assert fanout.close(LONG)


class Plugin:
    """Offers one exporter by the name `kept`."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self.exporter = exporter

    @hookimpl
    def durable_metrics_exporters(self) -> list[Provided[MetricsExporter]]:
        return [Provided("kept", lambda: self.exporter)]


def metrics_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "durable-metrics"]


def test_every_exporter_gets_every_measurement_in_order_on_a_thread_of_their_own() -> None:
    first, second = Kept(), Kept()
    with running(first, second) as fanout:
        recorder: Recorder = fanout
        for value in range(100):
            recorder.record(STEPS, value)
    for exporter in (first, second):
        assert exporter.calls == [(STEPS, value) for value in range(100)]
        assert exporter.specs is METRICS
        assert exporter.threads == {"durable-metrics"}
        assert exporter.closed == 1
    assert fanout.dropped == 0


def test_measurements_arrive_while_running() -> None:
    exporter = Kept()
    with running(exporter) as fanout:
        for value in (1, 2):
            fanout.record(STEPS, value)
            exporter.wait_for(lambda calls, value=value: (STEPS, value) in calls)  # type: ignore[misc]
        assert exporter.closed == 0


def test_what_is_recorded_before_start_is_handed_out() -> None:
    exporter = Kept()
    fanout = MetricsFanout([exporter])
    fanout.record(STEPS, 1)
    fanout.start()
    assert fanout.close(LONG)
    assert exporter.calls == [(STEPS, 1)]


def test_close_ends_the_thread_and_may_be_repeated() -> None:
    exporter = Kept()
    with running(exporter) as fanout:
        assert [thread.daemon for thread in metrics_threads()] == [True]
    assert fanout.close(LONG)
    assert exporter.closed == 1
    assert not metrics_threads()


def test_close_without_start_counts_what_was_recorded() -> None:
    fanout = MetricsFanout([Kept()])
    fanout.record(STEPS, 1)
    assert fanout.close(LONG)
    assert fanout.dropped == 1


def test_inv_17_a_measurement_after_close_is_counted() -> None:
    exporter = Kept()
    with running(exporter) as fanout:
        pass
    fanout.record(STEPS, 1)
    assert (exporter.calls, fanout.dropped) == ([], 1)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_exporter_that_raises_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    bad, good = Raising("record", "close", error=error), Kept()
    with caplog.at_level(logging.DEBUG, "durable_core"), running(bad, good) as fanout:
        for value in range(5):
            fanout.record(STEPS, value)
    assert [call for call in good.calls if call[0] == STEPS] == [(STEPS, v) for v in range(5)]
    assert bad.calls == good.calls
    assert (bad.closed, good.closed) == (1, 1)
    assert fanout.dropped == 5
    assert sum(value for name, value in good.calls if name == DROPPED) == 5
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING
    assert "Raising" in logged.getMessage()
    assert error.__name__ in logged.getMessage()
    assert CANARY not in caplog.text


def test_an_exporter_that_cannot_be_prepared_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Raising("prepare"), Kept()
    with running(bad, good) as fanout:
        fanout.record(STEPS, 1)
    assert (bad.calls, bad.closed) == ([], 0)
    assert good.calls == [(STEPS, 1)]
    assert (fanout.dropped, len(caplog.records)) == (0, 1)


def test_with_no_usable_exporter_everything_is_counted_as_dropped() -> None:
    with running(Raising("prepare")) as fanout:
        fanout.record(STEPS, 1)
        fanout.record(STEPS, 2)
    assert fanout.dropped == 2


def test_an_exporter_that_blocks_costs_measurements_and_no_time() -> None:
    exporter = Blocking()
    with running(exporter, capacity=10) as fanout:
        fanout.record(STEPS, 0)
        assert exporter.reached.wait(LONG)
        for value in range(1, 31):
            fanout.record(STEPS, value)
        assert fanout.dropped == 20
    assert exporter.calls == [*((STEPS, value) for value in range(11)), (DROPPED, 20)]


def test_close_gives_up_on_an_exporter_that_blocks_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = Blocking()
    with running(exporter) as fanout:
        for value in range(4):
            fanout.record(STEPS, value)
        assert exporter.reached.wait(LONG)
        assert not fanout.close(0.01)
        assert "did not finish within 0.01 s; 3 measurements were left" in caplog.text
        assert fanout.dropped == 3
    assert exporter.calls == [(STEPS, 0)]
    assert exporter.closed == 1


def test_losses_from_several_threads_are_counted_exactly() -> None:
    fanout = MetricsFanout([Kept()], capacity=1)
    fanout.record(STEPS, 0)
    together = threading.Barrier(4)

    def lose() -> None:
        together.wait(LONG)
        for _ in range(2000):
            fanout.record(STEPS, 1)

    threads = [threading.Thread(target=lose) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fanout.dropped == 8000
    assert fanout.close(LONG)


@step
def double(number: int) -> int:
    return 2 * number


@workflow
async def twice(ctx: DurableContext, number: int) -> int:
    return await ctx.step(double, await ctx.step(double, number))


async def test_the_setting_exporters_makes_an_engine_measure(open_engine: OpenEngine) -> None:
    exporter = Kept()
    registry = Registry.of(aead, Plugin(exporter))
    async with open_engine(twice, registry=registry, exporters=("kept",)) as engine:
        assert await engine.run(twice, 5) == 20
        assert metrics_threads()
    assert not metrics_threads()
    assert exporter.closed == 1
    recorded = {name for name, _ in exporter.calls}
    assert recorded <= set(METRICS)
    assert {STEPS, "durable.journal.writer.commit_latency"} <= recorded
    assert sum(value for name, value in exporter.calls if name == STEPS) == 2


async def test_without_exporters_nothing_is_started(open_engine: OpenEngine) -> None:
    exporter = Kept()
    async with open_engine(twice, registry=Registry.of(aead, Plugin(exporter))) as engine:
        assert await engine.run(twice, 5) == 20
        assert not metrics_threads()
    assert exporter.specs is None
