"""The pages that a browser opens: a proxy before the Playground that keeps messages and serves each person a page.

The Playground sends a new message only to pages that are open, and keeps none: cards posted before a page was opened
or reloaded would be missing. It also has only one current user. This proxy listens from the start, sends every page
all earlier messages, and shows each page from its person's point of view. All else passes through unchanged.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from bot.sandbox.loopback_names import only_by_loopback_name
from bot.sandbox.teams.card_refresh import with_view
from bot.sandbox.teams.people import AT_THE_BROWSER, Person, person_called
from bot.sandbox.teams.playground_stream import CONVERSATIONS, LOG, Stream, StreamMessage, page_name

CONFIGURATION: Final = "/_internal/v1/config"
SCRIPT: Final = "/_window.js"
PATIENCE: Final = aiohttp.ClientTimeout(total=30.0)  # seconds; an invoke waits for the bot
# Neither the Playground's page nor a card may load anything from elsewhere: the browser stays on this machine.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "  # not every browser counts WebSockets as 'self'
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_PASSED_ON: Final = ("Content-Type", "Accept")  # headers that the Playground uses
_HEAD: Final = b"<head>"


class PlaygroundWindow:
    """Serves the Playground's pages on another address."""

    def __init__(
        self,
        playground_url: str,
        *,
        personal_chats: Mapping[str, Person],
        typed: Callable[[Person, str, str], None],
        invoke: Callable[[Mapping[str, Any]], Awaitable[Any]],
    ) -> None:
        """`playground_url` is an origin. `personal_chats` has the owner of each 1:1 conversation, by its id.

        `typed(person, conversation, text)` is called for every message with a mention, before it is sent to the bot.
        `invoke(activity)` sends an activity to the bot and returns its answer, or None if there is none.
        """
        self.url = ""  # origin
        self._playground_url = playground_url
        self._personal_chats = personal_chats
        self._typed, self._invoke = typed, invoke
        self._conversations = Stream(CONVERSATIONS, concerns=self._may_see, seen=self._seen)
        self._streams = (self._conversations, Stream(LOG, concerns=lambda _said, _page: True, seen=self._seen))
        self._installed: set[str] = set()  # conversations in which the bot is installed
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, *, port: int = 0) -> None:
        """Connect to the Playground, and listen for browsers on 127.0.0.1; port 0 is any free port.

        Raises OSError if the port is in use or the Playground does not answer.
        """
        self._session = aiohttp.ClientSession(self._playground_url, trust_env=False, timeout=PATIENCE)
        for stream in self._streams:
            await stream.start(self._session)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop serving pages; the Playground keeps running."""
        for stream in self._streams:
            await stream.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def url_for(self, person: Person, *, page: str = "", chat: str = "") -> str:
        """Return the address of this person's page; `page` distinguishes several pages of one person.

        `chat` is the name of the channel or chat on which the page opens; by default, it is the personal chat.
        """
        names = {"person": person.mri} | ({"page": page} if page else {}) | ({"chat": chat} if chat else {})
        return f"{self.url}/?{urlencode(names)}"

    def show(self, message: Mapping[str, Any]) -> None:
        """Send the pages a message that the Playground itself sends to none."""
        self._conversations.say(json.dumps(message))

    def hold_updates(self, url: str) -> None:
        """Send nothing new to the pages with this address until `release_updates`, as if their network were down."""
        self._conversations.hold(page_name(URL(url)))

    def release_updates(self, url: str) -> None:
        """Send these pages all messages that they missed."""
        self._conversations.release(page_name(URL(url)))

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[only_by_loopback_name])
        for stream in self._streams:
            app.router.add_get(stream.path, stream.serve)
        app.router.add_get(CONFIGURATION, self._configuration)
        app.router.add_get(SCRIPT, self._script)
        app.router.add_post("/_conversation/v1/conversations/{conversation}/messages", self._message)
        app.router.add_post("/_debug/conversation/{conversation}/installation", self._installation)
        app.router.add_route("*", "/{tail:.*}", self._forward)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        status, raw, content_type = await self._ask(request)
        person = person_called(URL(request.headers.get("Referer", "")).query.get("person", ""))
        if person is None or status != 200:
            return web.Response(status=status, body=raw, content_type=content_type)
        return web.json_response(seen_by(person, json.loads(raw), self._personal_chats))

    def _may_see(self, said: StreamMessage, page: URL) -> bool:
        """Return False for messages that only other people see, and for messages that were typed on this page.

        A page fails for a conversation that it does not know, and already shows what was typed on it.
        """
        owner, at_the_page = self._personal_chats.get(said.conversation), person_at(page)
        own = (owner is None or owner == at_the_page) and said.only_for in {"", at_the_page.mri}
        return own and said.typed_on != page.query.get("load", "-")

    async def _seen(self, said: StreamMessage, page: URL) -> str:
        """Return a message with the card as the person at the page sees it: the bot is asked, as Teams does."""
        person, refresh = person_at(page), said.refresh
        if refresh is None or person.mri not in refresh.viewers:
            return said.text
        return with_view(said.text, await self._invoke(refresh.activity(person)))

    async def _message(self, request: web.Request) -> web.Response:
        """Handle a message that a person typed: report the sender, and show it on the other pages."""
        typed, conversation = json.loads(await request.read()), request.match_info["conversation"]
        person = person_called(typed["from"]["id"])
        if person is not None and typed.get("mentions"):  # in a channel, a bot gets only messages that mention it
            self._typed(person, conversation, typed.get("text", ""))
        answer = await self._forward(request)
        if answer.status == 200 and isinstance(answer.body, bytes) and typed.get("type") == "text":
            message = typed_message(conversation, typed, json.loads(answer.body))
            self._conversations.say(json.dumps(message), typed_on=request.headers.get("X-Load", ""))
        return answer

    async def _installation(self, request: web.Request) -> web.Response:
        """Install the bot in a conversation once: the Playground's page does it whenever it is opened.

        Teams sends no events for a page, and the bot reads a roster again after an installation.
        """
        conversation = request.match_info["conversation"]
        if conversation in self._installed:
            return web.Response()
        answer = await self._forward(request)
        if answer.status == HTTPStatus.OK:
            self._installed.add(conversation)
        return answer

    async def _script(self, _request: web.Request) -> web.Response:
        script = (files("bot.sandbox") / "npm" / "window.js").read_bytes()
        return web.Response(body=script, content_type="text/javascript")

    async def _forward(self, request: web.Request) -> web.Response:
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


def person_at(page: URL) -> Person:
    """Return the person whose page it is."""
    return person_called(page.query.get("person", "")) or AT_THE_BROWSER


def seen_by(person: Person, answer: Mapping[str, Any], personal_chats: Mapping[str, Person]) -> dict[str, Any]:
    """Return the Playground's configuration with this person as the current user."""
    config = answer["config"]
    before = config["currentUser"]
    all_users = [before, *config["users"]]
    others = [user for user in all_users if user["id"] != person.mri]
    listed = [user["id"] for user in others]  # the current user is not among the listed members
    chat_id = next(chat for chat, owner in personal_chats.items() if owner == person)
    seen = {
        "currentUser": next(user for user in all_users if user["id"] == person.mri),
        "users": others,
        "personalChat": config["personalChat"] | {"id": chat_id},
        "groupChats": [chat | {"members": listed} for chat in config["groupChats"]],
        "teams": [team | {"members": listed} for team in config["teams"]],
    }
    return {**answer, "config": config | seen}


def typed_message(conversation: str, typed: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a person's message in the form in which the stream has a bot's messages."""
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
