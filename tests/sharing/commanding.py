"""An operator at a shell: runs `durable`, each command in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

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
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "durable_cli", *arguments),
            env={
                "DURABLE_KEY": self.key,
                "DURABLE_URL": self.url,
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(Path(__file__).parent),
                **environment,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()
