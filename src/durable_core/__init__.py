"""Durable execution for async Python: workflows that go on where a killed process stopped."""

from durable_core.config import DurableConfig
from durable_core.engine.call import current_step
from durable_core.engine.children import ChildHandle
from durable_core.engine.context import DurableContext
from durable_core.engine.definition import step, workflow
from durable_core.engine.descriptor import DID_NOT_HAPPEN, RetryPolicy, reconcile
from durable_core.engine.engine import DurableEngine
from durable_core.engine.handle import ExecutionHandle
from durable_core.engine.outside import DurableHandle
from durable_core.engine.promise import DurablePromise
from durable_core.model.effects import EffectClass, EffectIntentSubClass, OnAmbiguous

__all__ = [
    "DID_NOT_HAPPEN",
    "ChildHandle",
    "DurableConfig",
    "DurableContext",
    "DurableEngine",
    "DurableHandle",
    "DurablePromise",
    "EffectClass",
    "EffectIntentSubClass",
    "ExecutionHandle",
    "OnAmbiguous",
    "RetryPolicy",
    "current_step",
    "reconcile",
    "step",
    "workflow",
]
