"""Headless Chromium for tests. Each page shows the sandbox's Teams to one person."""

import asyncio
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from bot.sandbox.node import Node

HERE: Final = Path(__file__).parent
START_LIMIT: Final = 30.0  # seconds until Chromium runs
COMMAND_LIMIT: Final = 40.0  # seconds; the script itself times out earlier, with a message that names the cause
STOP_LIMIT: Final = 10.0  # seconds until Chromium has closed
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class BrowserMissing(Exception):
    """There is no Chromium on the PATH."""


class BrowserError(AssertionError):
    """A command failed, for example because a text or button did not appear in time."""


def find_chromium() -> str:
    """Return the path of Chromium: `CHROMIUM` in the environment, or the first of PROGRAMS on the PATH.

    Raises BrowserMissing. The path in `CHROMIUM` is not checked.
    """
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise BrowserMissing("Chromium is missing (Debian: apt-get install chromium fonts-noto-cjk)")
    return found


class Browser:
    """One Chromium, controlled by one Node.js process, with any number of pages."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, node: Node, program: str) -> "Browser":
        """Start Chromium at this path."""
        process = await asyncio.create_subprocess_exec(
            str(node.program),
            str(HERE / "browser.cjs"),
            cwd=HERE,
            env={**os.environ, "FONTCONFIG_FILE": str(HERE / "fonts.conf")},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,  # one line has the whole text of a page
        )
        browser = cls(process)
        try:
            await browser.do("launch", limit=START_LIMIT, program=program)
        except BaseException:
            await browser.stop()
            raise
        return browser

    async def stop(self) -> None:
        """Close Chromium and end its Node.js process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def open(
        self,
        url: str,
        *,
        locale: str = "ja-JP",
        timezone: str = "Asia/Tokyo",
        size: tuple[int, int] = (1280, 1000),
        scale: int = 2,
        hide_log: bool = True,
    ) -> "Page":
        """Open this address in a separate window without shared cookies. By default, hide the Playground's log panel.

        The page reaches no other machine.
        """
        page = Page(self, f"page-{next(self._numbers)}", url)
        window = {"locale": locale, "timezone": timezone, "width": size[0], "height": size[1], "scale": scale}
        await page.do("open", url=url, hideLog=hide_log, **window)
        return page

    async def close_pages(self) -> None:
        """Close all pages."""
        await self.do("closePages")

    async def do(self, command: str, *, limit: float = COMMAND_LIMIT, **arguments: Any) -> Any:
        """Send one command. Return its value. Raises BrowserError with the browser's own message.

        Raises TimeoutError after `limit` seconds.
        """
        number = next(self._numbers)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        line = json.dumps({"id": number, "do": command, **arguments})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(limit):
            answer = await answered
        if "error" in answer:
            raise BrowserError(f"{command} {arguments}: {answer['error']}")
        return answer["value"]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            _answer(self._waiting.pop(answer["id"]), answer)
        for answered in self._waiting.values():
            _answer(answered, {"error": "the browser's driver has ended"})


def _answer(waiting: asyncio.Future[Any], answer: dict[str, Any]) -> None:
    if not waiting.done():  # its test may have reached its time limit
        waiting.set_result(answer)


class Page:
    """One page of the Playground. Raises BrowserError if a text or button does not appear in time.

    Counts and texts are those of the moment. `of` is a text on the card that is meant, such as the reason of a request;
    by default, it is the last card of the open chat.
    """

    def __init__(self, browser: Browser, name: str, url: str) -> None:
        self._browser = browser
        self._name = name
        self.url = url

    async def do(self, command: str, **arguments: Any) -> Any:
        """Send one command for this page."""
        return await self._browser.do(command, page=self._name, **arguments)

    async def select(self, chat: str) -> None:
        """Open the chat or channel with this name in the list on the left."""
        await self.do("select", name=chat)

    async def say(self, text: str, *, mention: str = "") -> None:
        """Type a message into the open chat, or a new post into the open channel. Send it."""
        await self.do("say", text=text, mention=mention)

    async def comment(self, text: str, *, of: str = "") -> None:
        """Fill the open comment field of a card."""
        await self.do("comment", text=text, of=of)

    async def click(self, button: str, *, of: str = "") -> None:
        """Click the last button with exactly this name, on the page or on a card."""
        await self.do("click", name=button, of=of)

    async def wait_for(self, text: str, *, of: str = "") -> None:
        """Wait until the page, or a card, shows this text."""
        await self.do("waitForText", text=text, of=of)

    async def wait_until_gone(self, text: str, *, of: str = "") -> None:
        """Wait until the page, or a card, no longer shows this text."""
        await self.do("waitForNoText", text=text, of=of)

    async def wait_for_cards(self, count: int = 1) -> None:
        """Wait until the open chat shows at least that many cards."""
        await self.do("waitForCards", count=count)

    async def count_cards(self) -> int:
        """Return how many cards the open chat shows now."""
        return int(await self.do("countCards"))

    async def count_buttons(self, name: str, *, of: str = "") -> int:
        """Return the current number of buttons with exactly this name, on the page or on a card."""
        return int(await self.do("countButtons", name=name, of=of))

    async def card_in_sight(self) -> tuple[float, float]:
        """Return top and bottom of the visible part of the last card, in pixels of the window."""
        top, bottom = await self.do("cardInSight")
        return float(top), float(bottom)

    async def card_text(self, *, of: str = "") -> str:
        """Return the text of a card."""
        return str(await self.do("text", of=of))

    async def text(self) -> str:
        """Return the text of the whole page."""
        return str(await self.do("pageText"))

    async def reload(self) -> None:
        """Reload the page, as a person would with F5. Afterwards, its first chat is open."""
        await self.do("reload")

    async def settle(self) -> None:
        """Wait until the page has drawn what it received."""
        await self.do("settle")

    async def shoot(self, path: Path) -> None:
        """Save a picture of the page as PNG."""
        await self.do("shoot", path=str(path))

    async def shoot_card(self, path: Path, *, of: str = "") -> None:
        """Save a picture of a card as PNG."""
        await self.do("shootCard", path=str(path), of=of)
