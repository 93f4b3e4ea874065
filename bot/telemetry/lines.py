"""Writes log lines to a stream. A click has several lines, and each write wakes the reader of the pipe."""

import asyncio
import threading
from typing import TextIO


class LineLogger:
    """The logger behind structlog: writes finished lines, those of one turn of the event loop together.

    A warning or error is written at once, with the lines before it; so is every line of a thread without a loop.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # that will write the waiting lines

    def __call__(self, *_: object) -> "LineLogger":
        """Return this logger: it is also structlog's factory, because all loggers share one stream."""
        return self

    def debug(self, line: str) -> None:
        """Write a line in the next turn of the event loop, or now if none is running."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.error(line)
            return
        with self._lock:
            self._waiting.append(line)
            scheduled, self._loop = self._loop is loop, loop
        if not scheduled:
            loop.call_soon(self._write)

    info = debug

    def error(self, line: str) -> None:
        """Write the waiting lines and this one now."""
        with self._lock:
            self._waiting.append(line)
        self._write()

    warning = critical = error

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting, self._loop = self._waiting, [], None
            if lines:
                self._stream.write("".join(f"{each}\n" for each in lines))
                self._stream.flush()
