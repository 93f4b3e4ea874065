"""The simulated Teams as one object: the simulated Microsoft, the Playground, and the pages for browsers.

Owns the order of start and stop, and connects the parts. Has the bot's settings, but does not run the bot.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp

from bot.sandbox.teams.connector import Sent
from bot.sandbox.teams.faults import Faults
from bot.sandbox.teams.federated_credentials import FederatedCredential
from bot.sandbox.teams.front import TeamsFront
from bot.sandbox.teams.gaps import ConnectorCall, shown_message
from bot.sandbox.teams.inbound import Received
from bot.sandbox.teams.microsoft import BotRegistration
from bot.sandbox.teams.people import (
    AT_THE_BROWSER,
    CASTS,
    CHANNEL_NAME,
    PEOPLE,
    PLACES,
    Person,
    playground_configuration,
)
from bot.sandbox.teams.playground import Playground, PlaygroundFailed
from bot.sandbox.teams.playground_window import PlaygroundWindow

INSTALLATION_EVENTS: Final = ("installationUpdate", "conversationUpdate")


class SandboxTeams:
    """A simulated Teams for one bot. All its servers listen on 127.0.0.1 only."""

    def __init__(self, bot: BotRegistration, *, bot_url: str | None, locale: str) -> None:
        self.front = TeamsFront(bot, bot_url=bot_url)
        self.cast = self.front.inbound.cast = CASTS[locale]
        self._bot = bot
        self._locale = locale
        self._window = self._new_window("", {})
        self._playground_url = ""
        self._running = AsyncExitStack()

    @classmethod
    async def start(
        cls,
        bot_url: str | None = None,
        *,
        app_id: str,
        tenant_id: str,
        directory: Path,
        app_secret: str = "",
        federated: FederatedCredential | None = None,
        playground_port: int = 0,
        locale: str = "ja",
    ) -> "SandboxTeams":
        """Start the simulated Teams. `directory` has the Playground's installation.

        `bot_url` is the origin of the bot, for example `http://127.0.0.1:3978`; it may be set later. The bot may
        authenticate with `app_secret` or `federated`. Browsers use `playground_port`; with 0, any free port is taken.
        `locale` (`en` or `ja`) is the language of the people's names and, with one exception, of their Teams clients.
        Raises NodeMissing, InstallFailed, PlaygroundFailed or OSError. After an error, no process or server runs.
        """
        bot = BotRegistration(app_id=app_id, tenant_id=tenant_id, app_secret=app_secret, federated=federated)
        teams = cls(bot, bot_url=bot_url, locale=locale)
        try:
            await teams._start(directory, port=playground_port)
        except BaseException:
            await teams.stop()
            raise
        return teams

    async def stop(self) -> None:
        """Stop the Playground and all servers."""
        await self._running.aclose()

    async def _start(self, directory: Path, *, port: int) -> None:
        self._running.push_async_callback(self.front.stop)
        await self.front.start()
        playground = await Playground.start(
            playground_configuration(app_id=self._bot.app_id, tenant_id=self._bot.tenant_id, locale=self._locale),
            bot_endpoint=self.front.inbound_url,
            service_url=self.front.service_url,
            directory=directory,
        )
        self._running.push_async_callback(playground.stop)
        self._playground_url = self.front.connector.playground_url = playground.url
        chats = await self._personal_chats()
        self._window = self._new_window(playground.url, chats)
        self._running.push_async_callback(self._window.stop)
        await self._window.start(port=port)
        self.front.channel_page = self.channel_url
        self.front.inbound.personal_chats = chats
        self.front.connector.show = self._show

    def _new_window(self, playground_url: str, chats: Mapping[str, Person]) -> PlaygroundWindow:
        invoke = self.front.inbound.answer
        return PlaygroundWindow(playground_url, personal_chats=chats, typed=self._typed, invoke=invoke)

    async def _personal_chats(self) -> dict[str, Person]:
        """Open each person's 1:1 conversation with the bot. Return the people by conversation id.

        The Playground generates these ids.
        """
        chats = {PLACES.personal: AT_THE_BROWSER}
        async with aiohttp.ClientSession(self._playground_url, trust_env=False) as session:
            for person in PEOPLE:
                if person != AT_THE_BROWSER:
                    chats[await self._opened(session, person)] = person
        return chats

    async def _opened(self, session: aiohttp.ClientSession, person: Person) -> str:
        wanted = {"members": [{"id": person.mri}], "tenantId": self._bot.tenant_id}
        async with session.post("/_connector/v3/conversations", json=wanted) as response:
            if response.status != 201:
                raise PlaygroundFailed(f"it refused a conversation with {person.mri}: {response.status}")
            return str((await response.json())["id"])

    def _typed(self, person: Person, conversation: str, text: str) -> None:
        self.front.inbound.expect(person, conversation=conversation, text=text)

    def _show(self, call: ConnectorCall, message_id: str) -> None:
        message = shown_message(call, message_id, timestamp=int(time.time() * 1000))
        chats = self.front.inbound.personal_chats
        if message is None or message["actionConversationId"] not in chats:
            return
        if (
            chats[message["actionConversationId"]] != AT_THE_BROWSER
        ):  # the Playground itself shows messages in this person's chat
            self._window.show(message)

    @property
    def bot_url(self) -> str | None:
        """The bot's origin; None until it is set. Until then, activities are answered with 502."""
        return self.front.inbound.bot_url

    @bot_url.setter
    def bot_url(self, url: str) -> None:
        self.front.inbound.bot_url = url

    @property
    def service_url(self) -> str:
        """The bot's SERVICE_URL."""
        return self.front.service_url

    @property
    def openid_metadata_url(self) -> str:
        """The value of the bot's setting NODE_ACCESS_OPENID_METADATA_URL."""
        return self.front.openid_metadata_url

    @property
    def login_authority(self) -> str:
        """The value of the bot's setting NODE_ACCESS_LOGIN_AUTHORITY."""
        return self.front.login_authority

    @property
    def graph_url(self) -> str:
        """The value of the bot's setting NODE_ACCESS_GRAPH_URL."""
        return self.front.graph_url

    @property
    def browser_url(self) -> str:
        """The page of the Playground's current user."""
        return self._window.url

    @property
    def channel_url(self) -> str:
        """The page of the Playground's current user, open on the approvers' channel."""
        return self.channel_url_for(AT_THE_BROWSER)

    def channel_url_for(self, person: Person, *, page: str = "") -> str:
        """Return the address of this person's page, open on the approvers' channel."""
        return self._window.url_for(person, page=page, chat=CHANNEL_NAME)

    def browser_url_for(self, person: Person, *, page: str = "") -> str:
        """Return the address of this person's page, open on the personal chat with the bot.

        `page` distinguishes several pages of one person.
        """
        return self._window.url_for(person, page=page)

    def hold_updates(self, url: str) -> None:
        """Send nothing new to the pages with this address until `release_updates`, as if their network were down."""
        self._window.hold_updates(url)

    def release_updates(self, url: str) -> None:
        """Send these pages all messages that they missed."""
        self._window.release_updates(url)

    @property
    def sent(self) -> deque[Sent]:
        """The bot's Connector calls, oldest first."""
        return self.front.connector.sent

    @property
    def received(self) -> deque[Received]:
        """The activities that reached the bot, with its answers, oldest first."""
        return self.front.inbound.received

    async def wait_received(self, matches: Callable[[Received], bool]) -> Received:
        """Return the first activity that matches, once the bot has answered it. Waits without a limit."""
        return await self.front.inbound.wait_received(matches)

    @property
    def faults(self) -> Faults:
        """The faults that affect the bot's next Connector calls."""
        return self.front.connector.faults

    async def install(self, conversation: str = PLACES.personal) -> None:
        """Install the bot in a conversation, as from Teams' app store. Wait until the bot has the installation events.

        A page that is opened installs the bot in its conversations, unless that was done.
        """
        path = f"/_debug/conversation/{quote(conversation, safe='')}/installation"
        async with (
            aiohttp.ClientSession(self._window.url, trust_env=False) as session,
            session.post(path, json={}) as response,
        ):
            response.raise_for_status()
        for kind in INSTALLATION_EVENTS:
            await self.wait_received(partial(_is_of, kind=kind, conversation=conversation))


def _is_of(received: Received, *, kind: str, conversation: str) -> bool:
    return bool(received.activity["type"] == kind and received.activity["conversation"]["id"] == conversation)
