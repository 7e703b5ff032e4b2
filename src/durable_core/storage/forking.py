"""What a backend does around `fork`: a child must hold nothing open that says its parent lives."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import partial

__all__ = ["at_fork"]


def at_fork(owner: object, *, before: str, after_in_child: str, after_in_parent: str = "") -> None:
    """Call these methods of `owner` around each fork, for as long as `owner` is alive.

    A registration cannot be undone, so it does not keep the object alive.
    """
    own = weakref.ref(owner)
    os.register_at_fork(
        before=partial(_call, own, before),
        after_in_child=partial(_call, own, after_in_child),
        after_in_parent=partial(_call, own, after_in_parent),
    )


def _call(reference: weakref.ref[object], method: str) -> None:
    owner = reference()
    if owner is not None and method:
        found: Callable[[], None] = getattr(owner, method)
        found()
