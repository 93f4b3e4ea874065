"""What a browser opens: the Playground behind a window that remembers, one page for every person.

The Playground tells a new message to the pages that are open at that moment and keeps none: a card that was posted
before the page was opened or reloaded is never seen. It also has one current user only. So this window listens
from the start, tells every page all that was said before, and shows each page to the person it is for.
Owns the point of view; everything else passes through.
"""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from bot.sandbox.loopback_names import only_by_loopback_name
from bot.sandbox.teams.people import AT_THE_BROWSER, Person, person_called
from bot.sandbox.teams.playground_stream import CONVERSATIONS, LOG, Stream, StreamMessage, page_name

CONFIGURATION: Final = "/_internal/v1/config"
SCRIPT: Final = "/_window.js"
PATIENCE: Final = aiohttp.ClientTimeout(total=30.0)  # seconds; an invoke waits for the bot
# The Playground's page asks for nothing from elsewhere; nor may what a card shows: the browser stays on this machine.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "  # not every browser counts WebSockets as 'self'
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_PASSED_ON: Final = ("Content-Type", "Accept")  # headers that mean something to the Playground
_HEAD: Final = b"<head>"


class PlaygroundWindow:
    """Serves the Playground's pages on an address of its own."""

    def __init__(
        self,
        playground_url: str,
        *,
        personal_chats: Mapping[str, Person],
        typed: Callable[[Person, str, str], None],
    ) -> None:
        """Look at the Playground with this origin.

        `personal_chats`: whose 1:1 conversation an id is; `typed` is told of every message that a person
        types: who, in which conversation, which text.
        """
        self.url = ""  # origin
        self._playground_url = playground_url
        self._personal_chats = personal_chats
        self._typed = typed
        self._conversations = Stream(CONVERSATIONS, concerns=self._may_see)
        self._streams = (self._conversations, Stream(LOG, concerns=lambda _said, _page: True))
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, *, port: int = 0) -> None:
        """Listen to the Playground, and on 127.0.0.1 for browsers, on a free port unless one is named."""
        self._session = aiohttp.ClientSession(self._playground_url, trust_env=False, timeout=PATIENCE)
        for stream in self._streams:
            await stream.start(self._session)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the window; the Playground goes on."""
        for stream in self._streams:
            await stream.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def url_for(self, person: Person, *, page: str = "") -> str:
        """Return the address of this person's page; `page` tells several pages of one person apart."""
        names = {"person": person.mri} | ({"page": page} if page else {})
        return f"{self.url}/?{urlencode(names)}"

    def show(self, message: Mapping[str, Any]) -> None:
        """Tell the pages of a message that the Playground itself tells nobody."""
        self._conversations.say(json.dumps(message))

    def hold_updates(self, url: str) -> None:
        """Keep everything new from the pages with this address, as if they were on a train in a tunnel."""
        self._conversations.hold(page_name(URL(url)))

    def release_updates(self, url: str) -> None:
        """Tell these pages everything that was held back."""
        self._conversations.release(page_name(URL(url)))

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[only_by_loopback_name])
        for stream in self._streams:
            app.router.add_get(stream.path, stream.serve)
        app.router.add_get(CONFIGURATION, self._configuration)
        app.router.add_get(SCRIPT, self._script)
        app.router.add_post("/_conversation/v1/conversations/{conversation}/messages", self._message)
        app.router.add_route("*", "/{tail:.*}", self._passed_on)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        status, raw, content_type = await self._ask(request)
        person = person_called(URL(request.headers.get("Referer", "")).query.get("person", ""))
        if person is None or status != 200:
            return web.Response(status=status, body=raw, content_type=content_type)
        return web.json_response(seen_by(person, json.loads(raw), self._personal_chats))

    def _may_see(self, said: StreamMessage, page: URL) -> bool:
        """Keep 1:1 conversations to their person: another's page does not know them, and would stop at that."""
        owner = self._personal_chats.get(said.conversation)
        at_the_page = person_called(page.query.get("person", "")) or AT_THE_BROWSER
        own = owner is None or owner == at_the_page
        return own and said.typed_on != page.query.get("load", "-")

    async def _message(self, request: web.Request) -> web.Response:
        """Take a message that somebody types: tell who it was, and show it to the other pages."""
        typed, conversation = json.loads(await request.read()), request.match_info["conversation"]
        person = person_called(typed["from"]["id"])
        if person is not None and typed.get("mentions"):  # in a channel a bot hears nothing else
            self._typed(person, conversation, typed.get("text", ""))
        answer = await self._passed_on(request)
        if answer.status == 200 and isinstance(answer.body, bytes) and typed.get("type") == "text":
            message = typed_message(conversation, typed, json.loads(answer.body))
            self._conversations.say(json.dumps(message), typed_on=request.headers.get("X-Load", ""))
        return answer

    async def _script(self, _request: web.Request) -> web.Response:
        script = (files("bot.sandbox") / "npm" / "window.js").read_bytes()
        return web.Response(body=script, content_type="text/javascript")

    async def _passed_on(self, request: web.Request) -> web.Response:
        status, raw, content_type = await self._ask(request)
        if content_type == "text/html":
            raw = raw.replace(_HEAD, _HEAD + f'<script src="{SCRIPT}"></script>'.encode(), 1)
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(status=status, body=raw, content_type=content_type, headers=headers)

    async def _ask(self, request: web.Request) -> tuple[int, bytes, str]:
        if self._session is None:
            raise web.HTTPServiceUnavailable
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = URL(self._playground_url + request.raw_path, encoded=True)
        body = await request.read() or None
        try:
            async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                return answer.status, await answer.read(), answer.content_type
        except (aiohttp.ClientError, TimeoutError) as error:
            raise web.HTTPBadGateway from error


def seen_by(person: Person, answer: Mapping[str, Any], personal_chats: Mapping[str, Person]) -> dict[str, Any]:
    """Return the Playground's configuration as it would be with this person at the browser."""
    config = answer["config"]
    before = config["currentUser"]
    everybody = [before, *config["users"]]
    others = [user for user in everybody if user["id"] != person.mri]
    listed = [user["id"] for user in others]  # whoever is at the browser is not among the listed members
    chat_id = next(chat for chat, owner in personal_chats.items() if owner == person)
    seen = {
        "currentUser": next(user for user in everybody if user["id"] == person.mri),
        "users": others,
        "personalChat": config["personalChat"] | {"id": chat_id},
        "groupChats": [chat | {"members": listed} for chat in config["groupChats"]],
        "teams": [team | {"members": listed} for team in config["teams"]],
    }
    return {**answer, "config": config | seen}


def typed_message(conversation: str, typed: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message that a person typed in the form in which the stream tells a bot's."""
    message = {
        **answer,  # messageId, timestamp and, for a new post in a channel, postConversationId
        "from": typed["from"],
        "text": typed["text"],
        "textFormat": typed.get("textFormat", "plain"),
        "attachments": [],
        "attachmentLayout": "list",
        "mentions": [],
    }
    return {"action": "createMessage", "actionConversationId": conversation, "message": message}
