"""Which journal a command works on, and with which keys; the options that say so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from attrs import evolve, frozen

from durable_core import DurableConfig, DurableEngine, DurableHandle
from durable_core.contracts import KeyProvider
from durable_core.engine.definition import Workflow
from durable_core.engine.inspection import Inspector, open_journal
from durable_core.ids import PromiseId
from durable_core.keysources import KeyFile

__all__ = ["JsonOption", "KeyFileOption", "Source", "UrlOption", "source_of"]

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The journal's database, such as sqlite:///orders.durable.db.",
        show_default=False,
    ),
]

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="A file with master keys, in place of DURABLE_KEY.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@frozen
class Source:
    """The options `--url` and `--key-file`; what they leave open, the configuration says."""

    url: str | None = None
    key_file: Path | None = None

    def inspect(self, *, key_optional: bool = False) -> AbstractAsyncContextManager[Inspector]:
        """Open the journal for reading; see `open_journal`."""
        return open_journal(
            self.url,
            DurableConfig.load(),
            self._keys(),
            key_optional=key_optional,
        )

    def engine(
        self, workflows: Sequence[Workflow[..., Any]] = (), *, keyless: bool = False
    ) -> AbstractAsyncContextManager[DurableEngine]:
        """Open an engine that runs nothing but what it is told to: without workflows nothing.

        `keyless` is for what was written without a key: then none is asked for.
        """
        config = DurableConfig.load()
        return DurableEngine.open(
            self.url,
            workflows=workflows,
            config=evolve(config, encrypt_payload=False) if keyless else config,
            keys="" if keyless else self._keys(),
            recover=False,
        )

    def promise(
        self, promise_id: PromiseId, token: bytes
    ) -> AbstractAsyncContextManager[DurableHandle]:
        """Open the journal for the resolution of one promise."""
        config = DurableConfig.load()
        return DurableHandle.open(self.url, promise_id, token, keys=self._keys(), config=config)

    def _keys(self) -> KeyProvider | None:
        return None if self.key_file is None else KeyFile(self.key_file)


def source_of(ctx: typer.Context, url: str | None, key_file: Path | None) -> Source:
    """The options given with the command, else those given before it."""
    common = ctx.obj if isinstance(ctx.obj, Source) else Source()
    return Source(url or common.url, key_file or common.key_file)
