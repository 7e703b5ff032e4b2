"""What callers of an engine hand in, checked before anything is done with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from durable_core.config import DurableConfig
from durable_core.engine.definition import Workflow
from durable_core.errors import ConfigError

__all__ = [
    "check_arguments",
    "check_limit",
    "check_place",
    "checked_text",
    "pair_of",
    "workflow_name",
]

_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
"""What a text can hold and UTF-8 cannot."""


def checked_text(given: object, what: str) -> str:
    """`given`, a text that is not empty; `ConfigError`, which calls it `what`, otherwise."""
    if not isinstance(given, str) or not given or _SURROGATES.search(given):
        message = f"{what} is a text that is not empty, and that UTF-8 can hold"
        raise ConfigError(message)
    return given


def check_arguments(workflows: object, config: object) -> None:
    """`ConfigError` unless they are what `DurableEngine.open` takes."""
    if isinstance(workflows, Workflow) or not isinstance(workflows, Iterable):
        message = "workflows is a sequence of workflows, as in workflows=[checkout]"
        raise ConfigError(message)
    if not isinstance(config, DurableConfig | None):
        message = f"config is a DurableConfig, not {type(config).__name__}"
        raise ConfigError(message)


def check_place(run: object) -> None:
    """`ConfigError` unless it says where something is to run."""
    if run not in {"here", "anywhere"}:
        message = 'run is "here" or "anywhere"'
        raise ConfigError(message)


def workflow_name(workflow: object) -> str:
    """The name of a workflow, given as it is or by that name; `ConfigError` otherwise."""
    if isinstance(workflow, Workflow):
        return workflow.name
    if not isinstance(workflow, str):
        message = f"a workflow is given as it is or by its name, not as {type(workflow).__name__}"
        raise ConfigError(message)
    return workflow


def pair_of(which: tuple[object, ...]) -> tuple[str, str]:
    """The name of a workflow and a key; `ConfigError` for anything else."""
    match which:
        case (workflow, str(key)):
            return workflow_name(workflow), key
        case _:
            message = "give an id, or a pair of a workflow (or its name) and a key"
            raise ConfigError(message)


def check_limit(limit: object) -> None:
    """`ConfigError` unless it is a number from 1 on."""
    if not isinstance(limit, int) or limit < 1:
        message = "limit is a number from 1 on"
        raise ConfigError(message)
