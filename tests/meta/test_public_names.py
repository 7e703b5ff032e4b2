"""The public names are written down here once more, by hand: changing one must be meant."""

from __future__ import annotations

import importlib

import pytest

import durable_core
from durable_core import errors

NAMES = [
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

FRAMEWORK = {
    "durable_core.contracts": [
        "AuditRecord",
        "AuditSink",
        "BackendCapabilities",
        "ExecutionBackend",
        "Journal",
        "KeyProvider",
        "MasterKeys",
        "MetricsExporter",
        "PayloadAad",
        "PayloadCipher",
    ],
    "durable_core.hookspecs": ["Provided", "hookimpl"],
    "durable_core.journal": ["JournalWriter", "JournalWriterHandle"],
}

BASE_OF = {
    "AmbiguityPolicyRequired": "ReplayError",
    "AmbiguousEffect": "ReplayError",
    "BackendNotAllowed": "PluginError",
    "CommitOutcomeUnknown": "JournalUnavailable",
    "ConfigError": "DurableError",
    "DecodeError": "PayloadError",
    "DurableError": "Exception",
    "EntryRejected": "JournalError",
    "ExecutionCancelled": "ExecutionError",
    "ExecutionError": "DurableError",
    "ExecutionFailed": "DurableError",
    "ExecutionFenced": "ExecutionError",
    "ExecutionLocked": "ExecutionError",
    "ExecutionNotFound": "ExecutionError",
    "ExecutionTerminal": "ExecutionError",
    "IntegrityError": "PayloadError",
    "InvalidResolverToken": "PromiseError",
    "JournalError": "DurableError",
    "JournalUnavailable": "JournalError",
    "KeyConflict": "ExecutionError",
    "KeyTaken": "ExecutionError",
    "PayloadError": "DurableError",
    "PayloadTooLarge": "PayloadError",
    "PluginConflict": "PluginError",
    "PluginError": "DurableError",
    "PluginNotFound": "PluginError",
    "PromiseAlreadyResolved": "PromiseError",
    "PromiseError": "DurableError",
    "PromiseNotFound": "PromiseError",
    "ReplayDivergence": "ReplayError",
    "ReplayError": "DurableError",
    "SchemaTooNew": "JournalError",
    "StepCapExceeded": "ExecutionError",
    "StepFailed": "DurableError",
    "TransientStoreError": "JournalUnavailable",
    "UnsupportedEntryKind": "JournalError",
}


def test_core_exports_exactly_the_public_names() -> None:
    assert durable_core.__all__ == NAMES
    assert [name for name in NAMES if not hasattr(durable_core, name)] == []


@pytest.mark.parametrize("module", sorted(FRAMEWORK))
def test_framework_level_names_are_exported(module: str) -> None:
    exported = set(importlib.import_module(module).__all__)
    assert set(FRAMEWORK[module]) - exported == set()


def test_the_tree_of_errors() -> None:
    """Every error has exactly one base, and none is defined without being exported."""
    tree = {
        name: ", ".join(base.__name__ for base in value.__bases__)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert tree == BASE_OF
    assert errors.__all__ == sorted(BASE_OF)
