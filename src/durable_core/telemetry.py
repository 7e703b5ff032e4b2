"""What durable-core tells the outside about its work: spans and metrics, as tables of names.

Spans go to the tracer provider of the OpenTelemetry API, metrics to a `Recorder`. Both carry names
and numbers only: an attribute that is not on the list is refused, and an error appears by its type
alone (INV-5).
"""

from __future__ import annotations

import enum
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType
from typing import Final, ParamSpec, Protocol, Self

from attrs import frozen
from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider, ProxyTracerProvider
from opentelemetry.trace.status import Status, StatusCode

__all__ = [
    "METRICS",
    "NO_METRICS",
    "SPAN_ATTRIBUTES",
    "AttributeValue",
    "MetricKind",
    "MetricSpec",
    "Recorder",
    "Span",
    "SpanName",
    "Tracing",
]

AttributeValue = str | bool | int | float | uuid.UUID
"""What an attribute can hold. A UUID is written as text, and only where a span is recorded."""

SPAN_ATTRIBUTES: Final = frozenset(
    {
        "durable.attempts",
        "durable.backend",
        "durable.batch_size",
        "durable.effect_class",
        "durable.entries",
        "durable.execution_id",
        "durable.generation",
        "durable.status",
        "durable.step",
        "durable.step_id",
        "durable.workflow",
        "replayed",
    },
)
"""Every attribute that a span may have: names, ids, codes and counts."""

P = ParamSpec("P")

_LOG: Final = logging.getLogger(__name__)
_SCOPE: Final = "durable_core"
_LOOK_EVERY_SECS: Final = 0.1


class SpanName(enum.StrEnum):
    """Every span."""

    BACKEND_OPEN = "durable.backend.open"
    JOURNAL_APPEND = "durable.journal.append"
    JOURNAL_READ = "durable.journal.read"
    JOURNAL_READ_SEGMENT = "durable.journal.read_segment"
    JOURNAL_FINALIZE = "durable.journal.finalize"
    JOURNAL_PRUNE = "durable.journal.prune"
    STEP_RUN = "durable.step.run"
    REPLAY_CURSOR_BUILD = "durable.replay.cursor.build"


class MetricKind(enum.Enum):
    """How the values of a metric combine."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@frozen
class MetricSpec:
    """One metric, as data: its dotted name, kind, unit (UCUM) and one line of description."""

    name: str
    kind: MetricKind
    unit: str
    description: str


def _counter(name: str, unit: str, description: str) -> MetricSpec:
    return MetricSpec(name, MetricKind.COUNTER, unit, description)


def _gauge(name: str, unit: str, description: str) -> MetricSpec:
    return MetricSpec(name, MetricKind.GAUGE, unit, description)


def _histogram(name: str, unit: str, description: str) -> MetricSpec:
    return MetricSpec(name, MetricKind.HISTOGRAM, unit, description)


_SPECS: Final = (
    _gauge("durable.journal.writer.queue_depth", "{entry}", "Appends that wait for a commit."),
    _histogram("durable.journal.writer.batch_size", "{entry}", "Appends in one commit."),
    _histogram("durable.journal.writer.commit_latency", "s", "What the backend took to commit."),
    _counter("durable.journal.writer.appended", "{entry}", "Appends that were committed."),
    _counter("durable.journal.writer.dropped", "{entry}", "Appends that a full queue refused."),
    _counter("durable.journal.writer.failed", "{entry}", "Accepted appends that never committed."),
    _counter(
        "durable.journal.writer.acknowledged_late",
        "{entry}",
        "Appends that were committed after their caller had given up.",
    ),
    _counter("durable.journal.writer.restarts", "{restart}", "Restarts of the writer's task."),
    _gauge("durable.engine.executions_running", "{execution}", "Executions that run here."),
    _counter("durable.engine.steps", "{step}", "Steps that were run."),
    _counter("durable.engine.steps_replayed", "{step}", "Steps answered from the journal."),
    _counter("durable.engine.divergences", "{divergence}", "Replays that the journal refused."),
    _counter("durable.engine.ambiguities", "{effect}", "Intents found without an outcome."),
    _counter("durable.metrics.dropped", "{measurement}", "Measurements that an exporter lost."),
)

METRICS: Final[Mapping[str, MetricSpec]] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every metric that is ever recorded, by its name."""


class Recorder(Protocol):
    """Takes measurements. Never blocks and never raises; safe to call from any thread."""

    def record(self, name: str, value: float) -> None:
        """One measurement of a metric in `METRICS`: an increment, a level or an observation."""
        ...


class _NoMetrics:
    __slots__ = ()

    def record(self, name: str, value: float) -> None:
        pass


NO_METRICS: Final[Recorder] = _NoMetrics()
"""The recorder of those who have no exporter."""


class Span(Protocol):
    """What the code inside a span can do to it."""

    def set_attribute(self, name: str, value: AttributeValue) -> None:
        """Add what was not known when the span began; `ValueError` for a name off the list.

        For the task that opened the span, while it is open.
        """
        ...


def _check(names: Iterable[str]) -> None:
    if not SPAN_ATTRIBUTES.issuperset(names):
        refused = ", ".join(sorted(set(names) - SPAN_ATTRIBUTES))
        message = f"span attributes {refused} are not on the list; add a name there or leave it out"
        raise ValueError(message)


class _NoSpan:
    """A span that nobody sees. One object serves all, nested and concurrent, as it has no state."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_attribute(self, name: str, value: AttributeValue) -> None:  # noqa: ARG002 - not kept
        _check((name,))


_NO_SPAN: Final = _NoSpan()


class _Troubles:
    """The failures of a tracer: none of them gets further, and the first of each type is logged."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        if kind.__name__ not in self._told:
            self._told.add(kind.__name__)
            # Its message may hold what it was about to send, or where to.
            _LOG.warning(
                "the tracer raised %s; spans may be incomplete, the work goes on",
                kind.__name__,
            )
        return True


class _RecordedSpan:
    """One span of an installed tracer, current for its task from entry to exit.

    Whatever the tracer or its span processors raise is logged, and the work inside goes on: a
    broken exporter must not cost a commit.
    """

    __slots__ = ("_scope", "_span", "_troubles")

    def __init__(
        self,
        scope: AbstractContextManager[trace.Span],
        troubles: _Troubles,
    ) -> None:
        self._scope = scope
        self._span: trace.Span | None = None
        self._troubles = troubles

    def __enter__(self) -> Self:
        with self._troubles:
            self._span = self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is None:
            return
        # A cancellation is no failure, and its task has its own way of showing it.
        if kind is not None and issubclass(kind, Exception):
            with self._troubles:
                self._span.set_status(Status(StatusCode.ERROR, kind.__name__))
        with self._troubles:
            self._scope.__exit__(kind, error, traceback)

    def set_attribute(self, name: str, value: AttributeValue) -> None:
        _check((name,))
        if self._span is not None:
            with self._troubles:
                self._span.set_attribute(name, _plain(value))


def _plain(value: AttributeValue) -> str | bool | int | float:
    return str(value) if isinstance(value, uuid.UUID) else value


class Tracing:
    """Opens spans on a tracer provider: the one that is given, else the API's global one.

    While no SDK is installed a span costs next to nothing (the bench prints it). The global
    provider is then looked at again at most every 0.1 s, as asking for it costs more than that; so
    an SDK that is installed late is found by then, and is kept. What a tracer raises is logged once
    for each type, and goes no further. May be used from any thread.
    """

    __slots__ = ("_clock", "_look_at", "_provider", "_tracer", "_troubles")

    def __init__(
        self,
        provider: trace.TracerProvider | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._look_at = float("-inf")
        self._tracer: trace.Tracer | None = None
        self._troubles = _Troubles()

    @property
    def recording(self) -> bool:
        """Whether spans go to an installed SDK, as far as is known by now."""
        if self._tracer is None and self._clock() < self._look_at:
            return False  # as each step learns
        return self._current() is not None

    def span(
        self,
        name: SpanName,
        attributes: Mapping[str, AttributeValue],
    ) -> AbstractContextManager[Span, None]:
        """A context manager that is the current span of its task from entry to exit.

        An exception that leaves it sets the status ERROR with the name of its type, and nothing
        else of it is kept. `ValueError` for an attribute off the list, with or without an SDK.
        """
        if not SPAN_ATTRIBUTES.issuperset(attributes):
            _check(attributes)
        tracer = self._current()
        if tracer is None:
            return _NO_SPAN
        with self._troubles:
            scope = tracer.start_as_current_span(
                name.value,
                attributes={key: _plain(value) for key, value in attributes.items()},
                record_exception=False,
                set_status_on_exception=False,
            )
            return _RecordedSpan(scope, self._troubles)
        return _NO_SPAN

    def span_of(
        self,
        name: SpanName,
        attributes: Callable[P, Mapping[str, AttributeValue]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AbstractContextManager[Span, None]:
        """As `span`, with what `attributes` returns, which is only called for an installed SDK."""
        if self._current() is None:
            return _NO_SPAN
        return self.span(name, attributes(*args, **kwargs))

    def _current(self) -> trace.Tracer | None:
        """The tracer of an installed SDK, if one is known or was not looked for lately."""
        if self._tracer is None:
            now = self._clock()
            if now >= self._look_at:
                return self._look(now)
        return self._tracer

    def _look(self, now: float) -> trace.Tracer | None:
        """The tracer of an installed SDK, to keep; None, and when to look again, without one."""
        provider = trace.get_tracer_provider() if self._provider is None else self._provider
        if not isinstance(provider, ProxyTracerProvider | NoOpTracerProvider):
            tracer = provider.get_tracer(_SCOPE)
            if not isinstance(tracer, NoOpTracer):
                self._tracer = tracer
                return tracer
        self._look_at = now + _LOOK_EVERY_SECS
        return None
