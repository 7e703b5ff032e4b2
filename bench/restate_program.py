"""Restate with handlers of five steps: `python -m bench.restate_program INGRESS`.

Runs where `restate_sdk` is installed and durable-core is not, and answers lines: see
`workload.answer`. What it says of itself is the SDK's version and the URL of the deployment, which
has to be registered with the server before the first line.

As its documentation recommends: a service on the SDK's ASGI application, served by Hypercorn with
the settings for production, and called through the ingress by the SDK's client.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import socket
import sys
from typing import Any, Final

from bench.workload import STEPS, answer, value

__all__ = ["main"]

_NO_LIMIT: Final = 2**31 - 1


def service() -> tuple[Any, Any]:
    """The service, and its one handler."""
    restate = importlib.import_module("restate")
    stored = restate.RunOptions(serde=restate.serde.BytesSerde())

    async def charge(number: int) -> bytes:
        return value(number)

    async def five(ctx: Any, first: int) -> int:  # noqa: ANN401 - the same
        return sum(
            [
                (await ctx.run_typed("charge", charge, stored, number=first + n))[-1]
                for n in range(STEPS)
            ]
        )

    bench = restate.Service("bench")
    return bench, bench.handler()(five)


async def main(ingress: str) -> None:
    """Serve the service on a free port, answer, and end."""
    restate = importlib.import_module("restate")
    bench, handler = service()
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ended = asyncio.Event()
    serving = asyncio.create_task(serve(restate.app(services=[bench]), listening, ended))
    async with restate.create_client(ingress) as client:
        client.client.timeout = None  # a late answer is one

        async def five(first: int) -> int:
            return int(await client.service_call(handler, arg=first))

        await answer(f"{importlib.metadata.version('restate_sdk')} {url}", five)
    ended.set()
    await serving


async def serve(
    app: Any,  # noqa: ANN401 - a type of the peer
    listening: socket.socket,
    ended: asyncio.Event,
) -> None:
    """Serve the application on a socket, which Hypercorn closes, until `ended` is set."""
    config = importlib.import_module("hypercorn").Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.loglevel = "ERROR"
    config.h2_max_concurrent_streams = _NO_LIMIT
    config.keep_alive_max_requests = _NO_LIMIT
    config.keep_alive_timeout = _NO_LIMIT
    hypercorn = importlib.import_module("hypercorn.asyncio")
    await hypercorn.serve(app, config, shutdown_trigger=ended.wait)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
