"""The exporter `otel`: each metric of durable-core becomes one OpenTelemetry instrument.

Measurements carry no attributes, so there is nothing in them that could hold a value (INV-5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from opentelemetry.metrics import Meter, MeterProvider, get_meter

from durable_core.contracts import MetricKind, MetricSpec

__all__ = ["OtelExporter"]

_SCOPE: Final = "durable_core"

# The SDK's default boundaries are made for milliseconds; in seconds, nearly every commit would
# fall into the first bucket.
_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
_COUNTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class OtelExporter:
    """A `MetricsExporter` onto a meter provider: the one that is given, else the API's global one.

    An SDK may be installed before or after the engine is opened. It belongs to the application:
    `close` neither flushes nor shuts it down.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._provider = provider
        self._record: dict[str, Callable[[float], None]] = {}

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        """Create one instrument for each metric."""
        meter = get_meter(_SCOPE, meter_provider=self._provider)
        self._record = {name: _instrument(meter, spec) for name, spec in specs.items()}

    def record(self, name: str, value: float) -> None:
        """Hand one measurement to its instrument; `KeyError` for a name that was not prepared."""
        self._record[name](value)

    def close(self) -> None:
        """Let go of the instruments."""
        self._record = {}


def _instrument(meter: Meter, spec: MetricSpec) -> Callable[[float], None]:
    """What takes the measurements of a metric."""
    match spec.kind:
        case MetricKind.COUNTER:
            return meter.create_counter(spec.name, spec.unit, spec.description).add
        case MetricKind.GAUGE:
            return meter.create_gauge(spec.name, spec.unit, spec.description).set
        case MetricKind.HISTOGRAM:
            return meter.create_histogram(
                spec.name,
                spec.unit,
                spec.description,
                explicit_bucket_boundaries_advisory=_SECONDS if spec.unit == "s" else _COUNTS,
            ).record
        case _:
            assert_never(spec.kind)
