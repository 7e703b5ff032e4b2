"""The engine: composes, runs and recovers executions. `StepDescriptor` is for `ctx.run`."""

from durable_core.engine.descriptor import StepDescriptor

__all__ = ["StepDescriptor"]
