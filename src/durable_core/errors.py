"""Every error that durable-core raises on purpose: one tree, rooted in `DurableError`.

Messages say what happened and what to do. They carry metadata only (names, ids, counts), never
payloads, keys, tokens or database passwords (INV-5). Whatever caused an error is chained.
"""

from __future__ import annotations

__all__ = [
    "AmbiguityPolicyRequired",
    "AmbiguousEffect",
    "BackendNotAllowed",
    "CommitOutcomeUnknown",
    "ConfigError",
    "DecodeError",
    "DurableError",
    "EntryRejected",
    "ExecutionCancelled",
    "ExecutionError",
    "ExecutionFailed",
    "ExecutionFenced",
    "ExecutionLocked",
    "ExecutionNotFound",
    "ExecutionTerminal",
    "IntegrityError",
    "InvalidResolverToken",
    "JournalError",
    "JournalUnavailable",
    "KeyConflict",
    "KeyTaken",
    "PayloadError",
    "PayloadTooLarge",
    "PluginConflict",
    "PluginError",
    "PluginNotFound",
    "PromiseAlreadyResolved",
    "PromiseError",
    "PromiseNotFound",
    "ReplayDivergence",
    "ReplayError",
    "SchemaTooNew",
    "StepCapExceeded",
    "StepFailed",
    "TransientStoreError",
    "UnsupportedEntryKind",
]


class DurableError(Exception):
    """Anything that durable-core itself reports. Catch this to catch all of them."""


class ConfigError(DurableError):
    """A setting, URL, key or call is not usable as given; nothing has been written."""


class PluginError(DurableError):
    """A plugin cannot be used."""


class PluginNotFound(PluginError):
    """No installed plugin has the wanted name. The message names the package to install."""


class PluginConflict(PluginError):
    """Two plugins claim one name, or a plugin does not fit this contract version."""


class BackendNotAllowed(PluginError):
    """A storage backend that is not in the closed set was offered; its code was not imported."""


class JournalError(DurableError):
    """The journal could not do what was asked."""


class JournalUnavailable(JournalError):
    """The store or its writer cannot commit now. What was refused has not been written."""


class CommitOutcomeUnknown(JournalUnavailable):
    """No acknowledgement arrived within the deadline: the entry may still land."""


class TransientStoreError(JournalUnavailable):
    """The store could not commit just now (busy, disconnected, serialization): worth a retry.

    `landed_unknown` says that the commit may have happened before the trouble showed. Raised by
    backends to the writer, which retries within the acknowledgement deadline.
    """

    def __init__(self, message: str, *, landed_unknown: bool = False) -> None:
        super().__init__(message)
        self.landed_unknown = landed_unknown


class EntryRejected(JournalError):
    """The store can never accept an entry as it is; only its execution is affected."""


class UnsupportedEntryKind(JournalError):
    """This build cannot persist entries of that kind; nothing was written."""


class SchemaTooNew(JournalError):
    """The database was written by a newer version of durable-core."""


class ExecutionError(DurableError):
    """An execution cannot be used as asked."""


class ExecutionNotFound(ExecutionError):
    """No execution has that id or key in this journal."""


class ExecutionLocked(ExecutionError):
    """A live owner runs the execution; it can neither be claimed nor changed from here."""


class ExecutionFenced(ExecutionError):
    """Another owner took the execution over; what this owner still had to write was refused."""


class ExecutionTerminal(ExecutionError):
    """The execution has ended and accepts no further entries."""


class ExecutionCancelled(ExecutionError):
    """The execution was cancelled, so there is no result."""


class StepCapExceeded(ExecutionError):
    """The execution has more steps that no fold can take than `max_steps_per_execution` allows."""


class KeyConflict(ExecutionError):
    """The key names an execution that was started with other arguments."""


class ReplayError(DurableError):
    """The journal and the program do not agree."""


class ReplayDivergence(ReplayError):
    """The program asked for another step than the journal holds at that place (INV-3)."""


class AmbiguousEffect(ReplayError):
    """A guarded effect may or may not have happened, and its policy leaves that to an operator."""


class AmbiguityPolicyRequired(ReplayError):
    """A guarded step of this sub-class needs an explicit ambiguity policy."""


class KeyTaken(ExecutionError):
    """Another execution already has the workflow's key; nothing was started."""

    def __init__(self, message: str, existing: bytes) -> None:
        super().__init__(message)
        self.existing = existing


class PayloadError(DurableError):
    """A value cannot be written to, or read from, the journal."""


class PayloadTooLarge(PayloadError):
    """A payload exceeds `max_payload_bytes` (INV-11)."""


class DecodeError(PayloadError):
    """Stored bytes, or a value to store, do not follow the format or the declared type."""


class IntegrityError(PayloadError):
    """Stored rows are not what this journal wrote (INV-16): edited, moved, inserted or missing."""


class StepFailed(DurableError):
    """A step failed for good. Raised into the workflow, live and replayed alike.

    `str()` names the step and the error's type and leaves the message out (INV-5); read
    `.message` where it is safe to show. When live, the original error is `__cause__`.
    """

    def __init__(self, step: str, error_type: str, message: str) -> None:
        super().__init__(step, error_type)
        self.step = step
        self.error_type = error_type
        self.message = message

    def __str__(self) -> str:
        return f"step {self.step!r} failed with {self.error_type}"


class ExecutionFailed(DurableError):
    """The workflow ended with an error. `str()` leaves the error's message out (INV-5)."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(error_type)
        self.error_type = error_type
        self.message = message

    def __str__(self) -> str:
        return f"the workflow failed with {self.error_type}"


class PromiseError(DurableError):
    """A promise cannot be used as asked."""


class PromiseNotFound(PromiseError):
    """No promise has that id."""


class InvalidResolverToken(PromiseError):
    """The resolver token does not belong to the promise."""


class PromiseAlreadyResolved(PromiseError):
    """The promise already has another outcome."""
