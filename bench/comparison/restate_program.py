"""Restate's Python SDK: `python -m bench.comparison.restate_program REQUEST`.

Runs where `restate_sdk` is installed. The service is registered once, at the address in front of
it, and called through the ingress with an idempotency key, so that a second life waits for what the
first one called. Everything as it comes.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import urllib.request
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from bench.comparison.flows import BRANCHES, FLOWS, World, branch, told
from bench.restate_program import serve

__all__ = ["live"]

_KEY = "order-1"
_PATIENCE_S = 20
_ASK = "SELECT status, retry_count, last_failure, completion_failure FROM sys_invocation"


@dataclass(frozen=True)
class _Calls:
    restate: Any
    context: Any
    world: World
    line: Any

    def call(self, step: str, *arguments: str) -> Awaitable[str]:
        """By `ctx.run_typed`."""

        async def called() -> str:
            try:
                result: str = await getattr(self.world, step)(*arguments)
            except ValueError as error:
                raise self.restate.TerminalError(str(error)) from error
            return result

        future: Awaitable[str] = self.context.run_typed(step, called)
        return future

    def key(self) -> str:
        """Derived, and the same in each replay."""
        return str(self.context.uuid())

    async def branches(self) -> list[list[str]]:
        """Calls of another handler, and the combinator for them."""
        begun = [self.context.service_call(self.line, arg=who) for who in BRANCHES]
        return [await done for done in await self.restate.gather(*begun)]


def _service(restate: Any, world: World) -> Any:  # noqa: ANN401 - types of the peer
    service = restate.Service("orders")

    async def line(ctx: Any, who: str) -> list[str]:  # noqa: ANN401 - a type of the peer
        return await branch(_Calls(restate, ctx, world, None), world, who)

    handler = service.handler()(line)

    async def flow(ctx: Any, wanted: dict[str, str]) -> str:  # noqa: ANN401 - a type of the peer
        return await FLOWS[wanted["flow"]](_Calls(restate, ctx, world, handler), world)

    return service, service.handler()(flow)


def _told_by_admin(url: str, body: dict[str, str]) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - ours
        said: bytes = answer.read()
    return said


async def _result(restate: Any, world: World, handler: Any) -> str:  # noqa: ANN401 - the same
    ingress, admin, url = world.server
    if world.worker == "A":
        await asyncio.to_thread(_told_by_admin, f"{admin}/deployments", {"uri": url})
    wanted = {"flow": world.flow, "text": world.text}
    async with restate.create_client(ingress) as client:
        client.client.timeout = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return str(await client.service_call(handler, arg=wanted, idempotency_key=_KEY))
        except TimeoutError:
            said = await asyncio.to_thread(_told_by_admin, f"{admin}/query", {"query": _ASK})
            raise RuntimeError(said.decode()) from None


async def live(world: World) -> str:
    """One life of the service, and of one who calls it: what the call returned."""
    restate = importlib.import_module("restate")
    service, handler = _service(restate, world)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    ended = asyncio.Event()
    serving = asyncio.create_task(serve(restate.app(services=[service]), listening, ended))
    world.tell("port", str(port))
    try:
        return await _result(restate, world, handler)
    finally:
        ended.set()
        await serving


if __name__ == "__main__":
    here = World.of(sys.argv[1])
    asyncio.run(told(here, live(here)))
