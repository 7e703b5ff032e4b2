"""What a step declares: its class, its policy, its retries. Checked when it is constructed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from types import UnionType
from typing import Any, Final

from attrs import field, frozen

from durable_core.errors import AmbiguityPolicyRequired, ConfigError
from durable_core.model.effects import (
    DEFAULT_POLICY,
    RECONCILE_CODE,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
)

__all__ = [
    "DID_NOT_HAPPEN",
    "DidNotHappen",
    "Reconcile",
    "RetryPolicy",
    "StepDescriptor",
    "reconcile",
]


class DidNotHappen:
    """The type of `DID_NOT_HAPPEN`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DID_NOT_HAPPEN"


DID_NOT_HAPPEN: Final = DidNotHappen()
"""What a reconcile function returns when the effect did not take place: the step then runs."""


@frozen
class Reconcile:
    """The policy that asks the outside system; made by `reconcile`."""

    ask: Callable[..., Any]


def reconcile(ask: Callable[..., Awaitable[object]] | Callable[..., object]) -> Reconcile:
    """The ambiguity policy that asks the outside system what became of an effect.

    `ask(idempotency_key, *args)` gets the step's key (32 bytes) and its arguments, and returns the
    recovered value, or `DID_NOT_HAPPEN`. It may be async; it may be called more than once, also
    for one effect, so it must only look. What it raises leaves the step as ambiguous as before:
    the execution is blocked.
    """
    return Reconcile(ask)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int)


def _are_errors(kinds: object) -> bool:
    return isinstance(kinds, tuple) and all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
    )


@frozen(kw_only=True)
class RetryPolicy:
    """How often and when a step's function is called again after an error.

    `attempts` counts all calls (1: no retry). The n-th wait is
    `min(initial * multiplier ** (n - 1), longest)` seconds, of which a random part of up to
    `jitter` (0 to 1) is taken off. Only errors of the types in `retry_on` are retried.
    """

    attempts: int = 1
    initial: float = 0.1
    multiplier: float = 2.0
    longest: float = 60.0
    jitter: float = 0.5
    retry_on: tuple[type[Exception], ...] = (Exception,)

    def __attrs_post_init__(self) -> None:
        legal = (
            all(map(_is_number, (self.initial, self.multiplier, self.longest, self.jitter)))
            and _is_integer(self.attempts)
            and _are_errors(self.retry_on)
            and self.attempts >= 1
            and self.initial >= 0
            and self.multiplier >= 1
            and self.longest >= 0
            and 0 <= self.jitter <= 1
        )
        if not legal:
            message = (
                "RetryPolicy wants attempts >= 1, initial and longest >= 0, multiplier >= 1, "
                "jitter between 0 and 1, all of them finite numbers, and retry_on a tuple of "
                "Exception classes"
            )
            raise ConfigError(message)

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after that many failures; `chance` is a random number in [0, 1)."""
        try:
            full = min(self.initial * self.multiplier ** (failures - 1), self.longest)
        except OverflowError:
            full = self.longest
        return full * (1 - self.jitter * chance)


NO_RETRY: Final = RetryPolicy()


@frozen(kw_only=True)
class StepDescriptor:
    """Everything that the engine knows of a step besides its function.

    Guarded steps have a sub-class (`COST_BEARING` unless said otherwise) and an ambiguity policy.
    `AmbiguityPolicyRequired` for a destructive, security-relevant, money-moving or custom effect
    without an explicit policy; `ConfigError` for settings that contradict each other.

    `timeout` is in seconds for each call of the function. `safe_to_retry` lists the errors of a
    guarded function after which the effect surely did not happen; only those are retried.
    """

    name: str
    effect: EffectClass = EffectClass.AT_LEAST_ONCE
    sub_class: EffectIntentSubClass | None = None
    on_ambiguous: OnAmbiguous | Reconcile | None = None
    retry: RetryPolicy = NO_RETRY
    timeout: float | None = None
    safe_to_retry: tuple[type[Exception], ...] = ()
    policy_code: int = field(init=False)
    sub_class_code: int = field(init=False)
    guarded: bool = field(init=False, repr=False, eq=False)
    """Whether the effect is `EXACTLY_ONCE_GUARDED`."""

    def __attrs_post_init__(self) -> None:
        guarded = self.effect is EffectClass.EXACTLY_ONCE_GUARDED
        object.__setattr__(self, "guarded", guarded)
        self._check()
        sub_class = self.sub_class or EffectIntentSubClass.COST_BEARING
        policy = self.on_ambiguous or DEFAULT_POLICY.get(sub_class)
        if guarded and policy is None:
            message = (
                f"step {self.name!r} is {sub_class.name} and needs an explicit ambiguity policy: "
                "on_ambiguous=OnAmbiguous.FAIL, SKIP or RERUN, or reconcile(fn)"
            )
            raise AmbiguityPolicyRequired(message)
        code = RECONCILE_CODE if isinstance(policy, Reconcile) else int(policy or 0)
        object.__setattr__(self, "policy_code", code if guarded else 0)
        object.__setattr__(self, "sub_class_code", int(sub_class) if guarded else 0)

    @property
    def policy(self) -> OnAmbiguous | Reconcile:
        """The ambiguity policy of a guarded step, its default included."""
        return self.on_ambiguous or OnAmbiguous(self.policy_code)

    def _check_type(self, setting: str, value: object, legal: type | UnionType) -> None:
        if not isinstance(value, legal):
            message = f"step {self.name!r}: {setting} must be {legal}, not {type(value).__name__}"
            raise ConfigError(message)

    def _check(self) -> None:
        self._check_type("name", self.name, str)
        if not self.name:
            message = "a step needs a name that is not empty"
            raise ConfigError(message)
        self._check_type("effect", self.effect, EffectClass)
        self._check_type("sub_class", self.sub_class, EffectIntentSubClass | None)
        self._check_type("on_ambiguous", self.on_ambiguous, OnAmbiguous | Reconcile | None)
        self._check_type("retry", self.retry, RetryPolicy)
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            message = f"step {self.name!r}: timeout must be a number of seconds above 0"
            raise ConfigError(message)
        if not _are_errors(self.safe_to_retry):
            message = f"step {self.name!r}: safe_to_retry must be a tuple of Exception classes"
            raise ConfigError(message)
        extras = self.sub_class, self.on_ambiguous, self.safe_to_retry or None
        if not self.guarded and any(extra is not None for extra in extras):
            message = (
                f"step {self.name!r}: sub_class, on_ambiguous and safe_to_retry belong to "
                "EXACTLY_ONCE_GUARDED steps"
            )
            raise ConfigError(message)
