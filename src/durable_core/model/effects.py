"""Effect classes, their sub-classes and the ambiguity policies, as data.

The numeric values are wire codes: they stand in fingerprints, associated data and rows, and never
change their meaning.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = [
    "DEFAULT_POLICY",
    "RECONCILE_CODE",
    "EffectClass",
    "EffectIntentSubClass",
    "OnAmbiguous",
    "policy_label",
]


class EffectClass(enum.IntEnum):
    """What a step's function does to the outside, and so what the journal does around it."""

    IDEMPOTENT = 1
    """Running it again changes nothing. No entry before it; a buffered result after it."""

    AT_LEAST_ONCE = 2
    """Running it again is tolerated. No entry before it; a buffered result after it."""

    EXACTLY_ONCE_GUARDED = 3
    """Running it again does harm. A durable intent before it, a prompt result after it."""


class EffectIntentSubClass(enum.IntEnum):
    """What kind of harm a guarded effect could do when it runs twice."""

    COST_BEARING = 1
    DESTRUCTIVE = 2
    SECURITY_RELEVANT = 3
    MONEY_MOVING = 4
    CUSTOM = 5


class OnAmbiguous(enum.IntEnum):
    """What to do with a guarded step whose intent is durable and whose outcome is not.

    A fourth policy, `reconcile(fn)`, carries a function; its code is `RECONCILE_CODE`.
    """

    FAIL = 1
    """Do not call; block the execution until an operator settles the step."""

    SKIP = 2
    """Do not call; journal "assumed done"; the step returns None."""

    RERUN = 3
    """Call again with the same idempotency key."""


RECONCILE_CODE: Final = 4

DEFAULT_POLICY: Final = {EffectIntentSubClass.COST_BEARING: OnAmbiguous.SKIP}
"""The sub-classes that need no explicit policy, and the policy that they then have."""


def policy_label(code: int) -> str:
    """The lower-case name of a policy's code, for logs and audit records."""
    return "reconcile" if code == RECONCILE_CODE else OnAmbiguous(code).name.lower()
