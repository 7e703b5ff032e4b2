"""What telemetry costs where no SDK and no exporter is installed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from bench.engines import STEPS, fresh_engine, idempotent_five, verified
from bench.figures import Figure, Unit
from bench.rounds import Plan, repeated
from durable_core.ids import ExecutionId, RandomIds
from durable_core.telemetry import NO_METRICS, AttributeValue, SpanName, Tracing

__all__ = ["measure"]

_CALLS: Final = 20_000
_PERCENT: Final = 100.0


async def measure(plan: Plan) -> list[Figure]:
    """A span, a measurement, and the two as a share of an idempotent step."""
    tracing = Tracing()
    execution_id = RandomIds().execution_id()

    def span() -> None:
        _span(tracing, execution_id)

    async def span_cost() -> float:
        return _cost(span) - _cost(_nothing)

    async def measurement_cost() -> float:
        return _cost(_measurement) - _cost(_nothing)

    async def share() -> float:
        telemetry = _cost(span) + _cost(_measurement) - 2 * _cost(_nothing)
        return telemetry / await _step(plan) * _PERCENT

    rounds = plan.rounds
    return [
        await repeated(rounds, span_cost, "telemetry", "a span without an SDK", Unit.NANOSECONDS),
        await repeated(
            rounds,
            measurement_cost,
            "telemetry",
            "a measurement without an exporter",
            Unit.NANOSECONDS,
        ),
        await repeated(rounds, share, "telemetry", "both, of an idempotent step", Unit.PERCENT),
    ]


def _span(tracing: Tracing, execution_id: ExecutionId) -> None:
    with tracing.span_of(SpanName.STEP_RUN, _attributes, execution_id):
        pass


def _attributes(execution_id: ExecutionId) -> dict[str, AttributeValue]:
    return {
        "durable.execution_id": execution_id,
        "durable.step": "render",
        "durable.step_id": "7",
        "replayed": False,
    }


def _measurement() -> None:
    NO_METRICS.record("durable.engine.steps", 1)


def _nothing() -> None:
    pass


def _cost(call: Callable[[], None]) -> float:
    """Nanoseconds of one call."""
    began = time.perf_counter_ns()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter_ns() - began) / _CALLS


async def _step(plan: Plan) -> float:
    """Nanoseconds of one idempotent step among many workflows, where no step waits for a disk."""
    count = plan.size(1000, 250)
    async with fresh_engine(plan) as engine:
        began = time.perf_counter_ns()
        await asyncio.gather(*(engine.run(idempotent_five, 0) for _ in range(count)))
        took = time.perf_counter_ns() - began
        await verified(engine, count)
    return took / count / STEPS
