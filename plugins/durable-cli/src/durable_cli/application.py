"""The workflows of an application that is named on the command line, as `MODULE[:ATTRIBUTE]`.

What its code raises while it is imported may say anything: only its type and its place are shown.
"""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import typer

from durable_core.engine.definition import Workflow
from durable_core.errors import ConfigError

__all__ = ["app_output_aside", "load_workflows", "require_app"]

_APP: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


def require_app(app: str) -> str:
    """`app` itself; wrong usage where it is not of the form."""
    if not _APP.fullmatch(app):
        message = "say MODULE:ATTRIBUTE, as in shop.jobs:WORKFLOWS, or MODULE"
        raise typer.BadParameter(message, param_hint="--app")
    return app


@contextmanager
def app_output_aside() -> Iterator[None]:
    """What the application prints goes to stderr, so that stdout holds the command's result."""
    with redirect_stdout(sys.stderr):
        yield


def load_workflows(app: str) -> list[Workflow[..., Any]]:
    """Import the application from the working directory or what is installed.

    The attribute is a workflow, a sequence of workflows, or a module, of which all that stand in
    it are taken; without one the module itself. `ConfigError` where that leads nowhere.
    """
    module_name, _, path = app.partition(":")
    found: object = _imported(module_name)
    for attribute in path.split(".") if path else ():
        try:
            found = getattr(found, attribute)
        except AttributeError:
            message = f"--app {app}: {module_name!r} has no {path!r}"
            raise ConfigError(message) from None
    if isinstance(found, ModuleType):
        found = [each for each in vars(found).values() if isinstance(each, Workflow)]
    elif isinstance(found, Workflow):
        found = [found]
    workflows = list(found) if isinstance(found, Sequence) else []
    if not workflows or not all(isinstance(each, Workflow) for each in workflows):
        message = f"--app {app} leads to no workflows; name a sequence of them, or a module"
        raise ConfigError(message)
    return list(dict.fromkeys(workflows))


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may even end the process
        message = f"module {name!r} cannot be imported: {_account_of(error)}"
        raise ConfigError(message) from error


def _account_of(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"there is no module {error.name!r}"
    return f"it raised {type(error).__name__} in {_place_of(error)}"


def _place_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"
