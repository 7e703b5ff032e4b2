"""An operator at a shell: runs `durable`, each command in a process of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.forked import run

__all__ = ["Operator"]


@frozen
class Operator:
    """Runs `durable`; its database is `url` unless the arguments name another."""

    url: str
    key: str

    async def __call__(self, *arguments: str, **environment: str) -> Any:
        """What the command prints in JSON."""
        code, out, err = await self.run(*arguments, "--json", **environment)
        assert (code, err) == (0, ""), err
        return json.loads(out)

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        environment = {
            "DURABLE_KEY": self.key,
            "DURABLE_URL": self.url,
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parent),
            **environment,
        }
        ended = await asyncio.to_thread(run, ["-m", "durable_cli", *arguments], environment)
        return ended.returncode, ended.stdout, ended.stderr
