"""The type of the fixture `open_engine`, and the words that several engine tests share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from durable_core import DurableEngine
from durable_core.contracts import KeyProvider
from durable_core.engine.definition import Workflow
from durable_core.registry import Registry

AnyWorkflow = Workflow[..., Any]


class OpenEngine(Protocol):
    """Opens an engine on the test's own journal.

    `settings` are fields of `DurableConfig`. `keys` is the test's key unless given; None leaves
    the choice to the environment and the configuration, as `DurableEngine.open` does.
    """

    def __call__(
        self,
        *workflows: AnyWorkflow,
        keys: str | KeyProvider | None = ...,
        recover: bool = ...,
        claim: bool = ...,
        registry: Registry | None = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[DurableEngine]:
        """An engine to enter with `async with`."""
        ...
