"""Planned faults and a record of every call, for fakes that speak HTTP."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One call as it arrived, and the status of its answer. The status is None if the call got no answer.

    It arrived at `began` and was answered at `ended`, in seconds of the monotonic clock.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    status: int | None
    began: float
    ended: float


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault in the next `times` matching calls.

    If `times` is None, it affects all matching calls until it is removed.
    """

    method: str
    path: str
    body_holds: str = ""
    """Only calls whose body contains this text. The call that starts a thread has its channel only in the body."""
    times: int | None = 1
    status: int | None = None
    """Answer with this status, `headers` and `body` instead of an effect, or with `late` after the effect."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    drop: str = ""
    """`before`: cut the connection without an effect. `after`: cut it after the effect."""
    gate: asyncio.Event | None = None
    """The call waits here before it takes effect."""
    late: bool = False
    """True: the call waits at `gate` after its effect instead, so that only its answer is held."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a call has matched, or has taken effect if it is held `late`."""

    def matches(self, request: web.Request, body: Any) -> bool:
        return (
            self.times != 0
            and self.method in ("*", request.method)
            and re.search(self.path, request.path) is not None
            and self.body_holds in json.dumps(body)
        )


class Faults:
    """An aiohttp middleware that records calls and applies faults."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self.calls: list[Recorded] = []
        self.latency = 0.0
        """Seconds that every call waits before its effect."""
        self._news = asyncio.Event()

    def plan(self, method: str, path: str, **how: Any) -> Fault:
        """Plan a fault. The first that matches is used."""
        fault = Fault(method=method, path=path, **how)
        self.planned.append(fault)
        return fault

    def heal(self) -> None:
        """End every fault and release the calls that wait."""
        for fault in self.planned:
            if fault.gate is not None:
                fault.gate.set()
        self.planned.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds. It is checked now, and after every call."""
        while not condition():
            await self._news.wait()

    def matching(self, method: str, path: str) -> list[Recorded]:
        """Return the recorded calls of a method whose path matches the pattern."""
        return [call for call in self.calls if call.method == method and re.search(path, call.path)]

    def middleware(self) -> Any:
        @web.middleware
        async def play(request: web.Request, handler: Handler) -> web.StreamResponse:
            body, began = await _body(request), time.monotonic()
            status: int | None = None
            try:
                if self.latency:
                    await asyncio.sleep(self.latency)
                response = await self._play(request, handler, body)
                status = None if request.transport is None else response.status
                return response
            finally:
                self.calls.append(
                    Recorded(
                        method=request.method,
                        path=request.path,
                        query=dict(request.query),
                        headers=dict(request.headers),
                        body=body,
                        status=status,
                        began=began,
                        ended=time.monotonic(),
                    )
                )
                self._news.set()
                self._news = asyncio.Event()

        return play

    async def _play(self, request: web.Request, handler: Handler, body: Any) -> web.StreamResponse:
        fault = next((fault for fault in self.planned if fault.matches(request, body)), None)
        if fault is None:
            return await handler(request)
        if fault.times is not None:
            fault.times -= 1
        response = await handler(request) if fault.late else None
        fault.reached.set()
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.drop == "before":
            return _cut(request)
        if fault.status is not None:
            return web.Response(status=fault.status, headers=fault.headers, text=fault.body)
        response = response or await handler(request)
        return _cut(request) if fault.drop == "after" else response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post())
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw
