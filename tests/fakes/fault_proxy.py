"""A loopback proxy in front of an HTTP server. It breaks calls in the ways of a real network.

    async with FaultProxy("127.0.0.1", port) as proxy:
        …send to proxy.base instead…
        broken = await proxy.break_it(Break.RESET, only=b"SendAutomationSignal")
        await broken.reached.wait()
        await proxy.heal()

Each connection has one exchange. For a refused connection, the port is really closed until healed.
"""

import asyncio
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\n(?:connection|keep-alive):[^\r\n]*", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"
DRIPS = 20  # parts of a slow answer
SLOW_SECONDS = 10.0  # for all parts


class Break(StrEnum):
    """The way in which a call is broken."""

    REFUSED = "refused"  # the port is closed
    RESET = "reset"  # accepted, read, and reset without effect
    HANG = "hang"  # accepted, read, and never answered, without effect
    ERROR = "5xx"  # 503 without effect
    THROTTLED = "429"  # with Retry-After, without effect
    HALF = "half a body"  # takes effect; half of its answer arrives
    SLOW = "slow"  # takes effect; the answer arrives slowly
    LOST = "reply lost"  # takes effect; no answer arrives

    @property
    def effective(self) -> bool:
        """True if the call reaches the server."""
        return self in {Break.HALF, Break.SLOW, Break.LOST}


@dataclass(slots=True)
class Broken:
    """One fault. It affects only calls that contain the bytes `only`; by default, all calls."""

    how: Break
    only: bytes = b""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)  # a broken call has ended, or its caller has given up
    healed: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Forwards every call unless it matches the current fault."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._broken: Broken | None = None
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.heal()
        await self._close_port()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def base(self) -> str:
        """The address to use instead of the server's own."""
        return f"http://127.0.0.1:{self._port}"

    async def break_it(self, how: Break, *, only: bytes = b"") -> Broken:
        """Break matching calls from now on, until healed. A new fault replaces the current one."""
        self._broken = Broken(how, only)
        if how is Break.REFUSED:
            await self._close_port()
        return self._broken

    async def heal(self) -> None:
        """Forward all calls again, and end the calls that hang or arrive slowly."""
        broken, self._broken = self._broken, None
        if broken:
            broken.healed.set()
        if self._server is None:
            await self._listen()

    # --- the port

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close_port(self) -> None:
        server, self._server = self._server, None
        if server:
            server.close()
            await server.wait_closed()

    # --- one exchange

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._exchange(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _message(reader)
        broken = self._broken
        if broken is None or broken.only not in request:
            await _write(writer, await self._forwarded(request))
            return
        answer = await self._forwarded(request) if broken.how.effective else b""
        broken.reached.set()
        try:
            await _break(broken, request, answer, writer)
        finally:
            broken.over.set()

    async def _forwarded(self, request: bytes) -> bytes:
        """Send a request to the server. Return its whole answer."""
        head, _, body = request.partition(END_OF_HEAD)
        reader, writer = await asyncio.open_connection(*self._behind)
        try:
            writer.write(_CONNECTION.sub(b"", head) + b"\r\nConnection: close" + END_OF_HEAD + body)
            answer = await reader.read()
        finally:
            writer.close()
        head, _, body = answer.partition(END_OF_HEAD)
        return _CONNECTION.sub(b"", head) + b"\r\nConnection: close" + END_OF_HEAD + body


async def _break(broken: Broken, request: bytes, answer: bytes, writer: asyncio.StreamWriter) -> None:
    match broken.how:
        case Break.RESET | Break.REFUSED:  # a connection from just before the port was closed is reset
            _reset(writer)
        case Break.HANG:
            await broken.healed.wait()
            _reset(writer)
        case Break.ERROR:
            await _write(writer, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        case Break.THROTTLED:
            await _write(writer, _throttled(request))
        case Break.HALF:
            head, _, body = answer.partition(END_OF_HEAD)
            await _write(writer, head + END_OF_HEAD + body[: len(body) // 2])
        case Break.SLOW:
            await _drip(broken, answer, writer)
        case Break.LOST:
            pass  # closed without a byte


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one request: its head and, if it has a Content-Length, its body."""
    head = await reader.readuntil(END_OF_HEAD)
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _write(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    await writer.drain()


async def _drip(broken: Broken, answer: bytes, writer: asyncio.StreamWriter) -> None:
    """Write an answer in parts over SLOW_SECONDS; once healed, write the rest immediately."""
    part = -(-len(answer) // DRIPS)
    for start in range(0, len(answer), part):
        await _write(writer, answer[start : start + part])
        with suppress(TimeoutError):
            async with asyncio.timeout(SLOW_SECONDS / DRIPS):
                await broken.healed.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a reset instead of an end."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _throttled(request: bytes) -> bytes:
    """Return a throttling answer: XML for a call of AWS's query protocol, else JSON."""
    body, kind = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}', b"application/x-amz-json-1.1"
    if b"application/x-www-form-urlencoded" in request and b"Action=" in request:
        body = b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
        kind = b"text/xml"
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: " + kind
    return head + b"\r\nContent-Length: " + str(len(body)).encode() + END_OF_HEAD + body
