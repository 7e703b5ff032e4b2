"""What every metrics exporter must do; see `durable_core.contracts.metrics` for the words.

An exporter's tests make one subclass that says which exporter it is, and what has arrived:

```python
class TestAcme(ExporterConformance):
    @pytest.fixture
    def exporter(self, acme: FakeServer) -> MetricsExporter:
        return AcmeExporter(acme.url)

    @pytest.fixture
    def arrived(self, acme: FakeServer) -> Arrived:
        return acme.names
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor

import pytest

from durable_core.contracts import MetricKind, MetricsExporter, MetricSpec
from durable_core.errors import ConfigError
from durable_core.telemetry import METRICS

__all__ = ["Arrived", "ExporterConformance"]

Arrived = Callable[[], AbstractSet[str]]
"""The names of the metrics that were measured, as the exporter's receiver has them by now."""

OF_A_TEST = MetricSpec("durable.conformance.depth", MetricKind.GAUGE, "{entry}", "Of a test.")


class ExporterConformance:
    """It takes every metric and every value, from the one thread that is the exporters' own."""

    @pytest.fixture
    def exporter(self) -> MetricsExporter:
        """A new exporter, that nothing has been called on."""
        message = f"{type(self).__name__} has to override the fixture `exporter`"
        raise ConfigError(message)

    @pytest.fixture
    def arrived(self) -> Arrived:
        """Asks what has arrived; called after `close` too."""
        message = f"{type(self).__name__} has to override the fixture `arrived`"
        raise ConfigError(message)

    @pytest.fixture
    def thread(self) -> Iterator[ThreadPoolExecutor]:
        """The thread of the exporters: an engine calls them from no other."""
        with ThreadPoolExecutor(1) as pool:
            yield pool

    def test_every_metric_arrives(
        self, exporter: MetricsExporter, arrived: Arrived, thread: ThreadPoolExecutor
    ) -> None:
        thread.submit(exporter.prepare, METRICS).result()
        assert not arrived(), "to prepare a metric is not to measure it"
        for name in METRICS:
            thread.submit(exporter.record, name, 1).result()
        thread.submit(exporter.close).result()
        assert arrived() == METRICS.keys()

    def test_only_what_was_measured_arrives(
        self, exporter: MetricsExporter, arrived: Arrived, thread: ThreadPoolExecutor
    ) -> None:
        thread.submit(exporter.prepare, METRICS).result()
        thread.submit(exporter.record, "durable.engine.steps", 3).result()
        thread.submit(exporter.close).result()
        assert arrived() == {"durable.engine.steps"}

    def test_a_metric_of_a_later_version_is_a_metric(
        self, exporter: MetricsExporter, arrived: Arrived, thread: ThreadPoolExecutor
    ) -> None:
        """What there is to measure is said by `prepare`, and by no list of the exporter."""
        thread.submit(exporter.prepare, {OF_A_TEST.name: OF_A_TEST}).result()
        thread.submit(exporter.record, OF_A_TEST.name, 2.5).result()
        thread.submit(exporter.close).result()
        assert arrived() == {OF_A_TEST.name}

    def test_no_value_is_too_much(
        self, exporter: MetricsExporter, thread: ThreadPoolExecutor
    ) -> None:
        thread.submit(exporter.prepare, METRICS).result()
        for name in METRICS:
            for value in (0, 1, 0.0, 1e-9, 2.5, 2**40, 1e300):
                assert thread.submit(exporter.record, name, value).result() is None
        assert thread.submit(exporter.close).result() is None

    def test_it_can_be_closed_with_nothing_measured(
        self, exporter: MetricsExporter, arrived: Arrived, thread: ThreadPoolExecutor
    ) -> None:
        thread.submit(exporter.prepare, METRICS).result()
        thread.submit(exporter.close).result()
        assert not arrived()

    def test_it_leaves_no_thread_behind(
        self, exporter: MetricsExporter, thread: ThreadPoolExecutor
    ) -> None:
        thread.submit(int).result()
        before = set(threading.enumerate())
        thread.submit(exporter.prepare, METRICS).result()
        thread.submit(exporter.record, "durable.engine.steps", 1).result()
        thread.submit(exporter.close).result()
        assert [one for one in threading.enumerate() if one not in before and one.is_alive()] == []
