"""Tests for bot.telemetry.lines: when log lines are written to the stream."""

import asyncio
import io
import threading

from bot.telemetry.lines import LineLogger


class Stream(io.StringIO):
    """A stream that keeps what each write wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        """Keep the text."""
        self.writes.append(text)
        return len(text)


async def test_lines_of_one_turn_of_the_event_loop_are_one_write() -> None:
    """They are written in the next turn, in order; so are those of later turns."""
    stream = Stream()
    logger = LineLogger(stream)
    logger.info("one")
    logger.debug("two")
    assert stream.writes == []
    await asyncio.sleep(0)
    logger.info("three")
    await asyncio.sleep(0)
    assert stream.writes == ["one\ntwo\n", "three\n"]


async def test_warning_is_written_at_once_after_the_lines_before_it() -> None:
    """If the process dies now, the log still says why."""
    stream = Stream()
    logger = LineLogger(stream)
    logger.info("one")
    logger.warning("two")
    logger.error("three")
    assert stream.writes == ["one\ntwo\n", "three\n"]
    await asyncio.sleep(0)
    assert len(stream.writes) == 2


async def test_line_of_a_thread_without_an_event_loop_is_written_at_once() -> None:
    """With the lines that wait."""
    stream = Stream()
    logger = LineLogger(stream)
    logger.info("one")
    thread = threading.Thread(target=logger.info, args=("two",))
    thread.start()
    thread.join()
    assert stream.writes == ["one\ntwo\n"]


def test_lines_of_an_event_loop_that_was_closed_are_written_with_the_next_one() -> None:
    """No line is lost if its loop ended before the write."""
    stream = Stream()
    logger = LineLogger(stream)
    loop = asyncio.new_event_loop()
    loop.call_soon(logger.info, "one")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    asyncio.run(_info(logger, "two"))
    assert "".join(stream.writes) == "one\ntwo\n"


async def _info(logger: LineLogger, line: str) -> None:
    logger.info(line)
