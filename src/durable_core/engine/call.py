"""One call of a step: who asks, what for, and what identifies it (the way of one step, part 1)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from attrs import define, evolve, field, frozen

from durable_core.engine.descriptor import StepDescriptor
from durable_core.engine.outcome import DID_NOT_RUN
from durable_core.engine.spec import StepSpec
from durable_core.errors import ConfigError
from durable_core.ids import ExecutionId, StepId
from durable_core.model.effects import OnAmbiguous
from durable_core.model.entries import EffectIntent, IntentSettled, StepFailure, StepResult
from durable_core.replay.detail import argument_digests, detail_prefix, encode_detail
from durable_core.replay.lookup import Wanted
from durable_core.wire.call import join
from durable_core.wire.fingerprint import call_fingerprint, call_key
from durable_core.wire.keys import ExecutionKeys
from durable_core.wire.payload import PayloadCodec

E = TypeVar("E")

__all__ = ["CURRENT", "Attempt", "CurrentStep", "StepCall", "current_step"]


@frozen
class CurrentStep:
    """The step whose function is running, as that function sees it by `current_step()`."""

    execution_id: ExecutionId
    step_id: StepId
    name: str
    attempt: int
    """1 for the first call of the function in this run."""

    idempotency_key: bytes
    """32 bytes, the same in every attempt and every run: forward it to the outside system."""


def current_step() -> CurrentStep:
    """The step whose function is running; `ConfigError` outside of one.

    Works in async functions and in plain ones, which run in the engine's threads.
    """
    running = CURRENT.get()
    if running is None:
        message = (
            "current_step() was called outside a running step; in a test, call the function "
            "through an engine"
        )
        raise ConfigError(message)
    return running.seen()


@define(eq=False)
class StepCall(Wanted):
    """A step with its arguments, its place and its identity; made when `ctx.step` is called.

    It is what the journal is asked for. Never changed, but for what is made when it is first asked
    for; not frozen, as each step makes one.
    """

    execution_id: ExecutionId
    generation: int
    spec: StepSpec
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    _keys: ExecutionKeys
    _key_prefix: bytes
    _occurrence: int
    _idem_key: bytes | None = None
    _detail: bytes | None = None

    @classmethod
    def make(
        cls,
        execution_id: ExecutionId,
        generation: int,
        keys: ExecutionKeys,
        codec: PayloadCodec,
        place: Callable[[bytes], tuple[StepId, bytes, int]],
        spec: StepSpec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StepCall:
        """Bind and encode the arguments, then take a place; on an error none is taken.

        `place` tells by the fingerprint the step id, and what the idempotency key is made of.
        `TypeError` as from a call with wrong arguments; `DecodeError` naming the step for an
        argument that cannot be encoded.
        """
        descriptor, shape = spec.descriptor, spec.shape
        bound = args if not kwargs and len(args) == shape.plain else shape.bind(args, kwargs)
        parts = shape.encode_each(codec, bound)
        fingerprint = call_fingerprint(keys, spec.fingerprint_prefix, join(parts))
        step_id, key_prefix, occurrence = place(fingerprint)
        return cls(
            step_id,
            descriptor.name,
            fingerprint,
            descriptor.effect,
            parts,
            execution_id,
            generation,
            spec,
            args,
            kwargs,
            keys,
            key_prefix,
            occurrence,
        )

    @property
    def idem_key(self) -> bytes:
        """The idempotency key, made when it is first asked for: a replay needs none."""
        key = self._idem_key
        if key is None:
            key = call_key(self._key_prefix, self.fingerprint, self._occurrence)
            self._idem_key = key
        return key

    @property
    def detail(self) -> bytes:
        """The detail of the step's entries, made when it is first asked for as well."""
        detail = self._detail
        if detail is None:
            prefix, suffix = self.spec.detail_frame
            detail = prefix + argument_digests(self._keys, self.arguments) + suffix
            self._detail = detail
        return detail

    @property
    def descriptor(self) -> StepDescriptor:
        """The step's descriptor."""
        return self.spec.descriptor

    def seen(self, attempt: int = 1) -> CurrentStep:
        """What `current_step()` says in that call of the function."""
        return CurrentStep(
            self.execution_id,
            StepId(self.step_id),
            self.name,
            attempt,
            self.idem_key,
        )

    def intent(self) -> EffectIntent:
        """The entry that goes in front of a guarded function."""
        return EffectIntent(
            self.execution_id,
            self.generation,
            StepId(self.step_id),
            self.fingerprint,
            self.idem_key,
            self.effect,
            self.detail,
        )

    def held_intent(self) -> EffectIntent:
        """An intent that only an operator may settle, whatever the step's own policy says."""
        digests = argument_digests(self._keys, self.arguments)
        descriptor = self.spec.descriptor
        prefix, code = detail_prefix(descriptor.name), descriptor.sub_class_code
        detail = encode_detail(prefix, digests, code, OnAmbiguous.FAIL)
        return evolve(self.intent(), detail=detail)

    def not_called(self) -> IntentSettled:
        """The entry that takes an intent back whose function was never called."""
        return self._entry(IntentSettled, DID_NOT_RUN)

    def result(self, payload: bytes) -> StepResult:
        """The entry that closes the step with an outcome byte and a value."""
        return self._entry(StepResult, payload)

    def failure(self, payload: bytes) -> StepFailure:
        """The entry that closes the step with an error."""
        return self._entry(StepFailure, payload)

    def _entry(
        self,
        kind: Callable[[ExecutionId, int, StepId, bytes, bytes, int, bytes, bytes], E],
        payload: bytes,
    ) -> E:
        return kind(
            self.execution_id,
            self.generation,
            StepId(self.step_id),
            self.fingerprint,
            self.idem_key,
            self.effect,
            payload,
            self.detail,
        )


@define(eq=False)
class Attempt:
    """A call of a step's function that is not the first in this run; `number` counts them all."""

    call: StepCall
    number: int

    @property
    def execution_id(self) -> ExecutionId:
        """That of the step's execution."""
        return self.call.execution_id

    def seen(self) -> CurrentStep:
        """What `current_step()` says meanwhile."""
        return self.call.seen(self.number)


CURRENT: Final[ContextVar[StepCall | Attempt | None]] = ContextVar(
    "durable_core.step", default=None
)
"""The step whose function is running in this context, by the call in which it is."""
