"""A fake Microsoft on loopback: the sandbox's sign-in, a Connector, and Teams, which sends activities to the bot.

    async with FakeMicrosoft() as ms:
        …start the bot with ms.metadata_url, ms.authority, ms.service_url, ms.service_hosts…
        status, body = await ms.post_invoke(bot_url, HANAKO, APPROVERS, "approve", data, inputs={"comment": "…"})

`bot_url` is the bot's base address (`http://127.0.0.1:PORT`). `ms.calls` has every call of the bot.
Keys, tokens and their checks are those of `bot.sandbox.teams.microsoft`. Faults and recorded calls are in `faults`.
"""

import asyncio
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from bot.sandbox.teams.connector import UNAUTHORIZED
from bot.sandbox.teams.gaps import size_refusal
from bot.sandbox.teams.graph import MicrosoftGraph
from bot.sandbox.teams.microsoft import METADATA_PATH, BotRegistration
from tests.fakes import activities
from tests.fakes.activities import Place
from tests.fakes.faults import Fault, Faults, Recorded
from tests.fakes.people import PEOPLE, Person
from tests.fakes.signing import BOT, Signer, SignIn
from tests.fakes.teams_world import Message, TeamsWorld, refuse

Json = dict[str, Any]
SERVICE = "/teams"


class FakeMicrosoft:
    """Sign-in, Connector and Teams on one loopback address."""

    def __init__(
        self, people: Iterable[Person] = PEOPLE, *, now: Callable[[], float] = time.time, bot: BotRegistration = BOT
    ) -> None:
        """`now` is Microsoft's clock. `bot` is the bot's registration, for example with a secret."""
        self.world = TeamsWorld(people)
        self.sign_in = SignIn(bot, now=now)
        self.signer = Signer(self.sign_in)
        self.graph = MicrosoftGraph(self.sign_in)
        self.faults = Faults()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self.base = ""
        self.seen_as = ""
        """The base address of a proxy through which the bot calls the Connector; empty: the bot calls `base`."""

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.sign_in.graph_url = self.base
        # no limit, so that two hundred people can click at once
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.heal()
        assert self._http is not None
        assert self._runner is not None
        await self._http.close()
        await self._runner.cleanup()

    # Settings of the bot

    @property
    def metadata_url(self) -> str:
        return self.base + METADATA_PATH

    @property
    def authority(self) -> str:
        return self.base

    @property
    def graph_url(self) -> str:
        return self.base

    @property
    def service_url(self) -> str:
        return f"{self.seen_as or self.base}{SERVICE}/"

    @property
    def service_hosts(self) -> tuple[str, ...]:
        return ("127.0.0.1",)

    # Observations

    @property
    def calls(self) -> list[Recorded]:
        return self.faults.calls

    def posted(self, conversation: str | Place) -> list[Message]:
        """Return the bot's messages in a conversation or thread, oldest first, with their current content."""
        return self.world.posted(_id(conversation))

    def writes(self, conversation: str | Place) -> list[Recorded]:
        """Return every post and update whose path has the conversation's id, including refused ones.

        The call that starts a thread has no id in its path.
        """
        wanted = _id(conversation)
        return [call for call in self.calls if call.method in ("POST", "PUT") and wanted in call.path]

    # Faults

    def fault(self, method: str, path: str, **how: Any) -> Fault:
        """Plan a fault, with the fields of `Fault`. `path` is a regular expression."""
        return self.faults.plan(method, path, **how)

    def hold(self, method: str, path: str, *, times: int | None = 1, body_holds: str = "", late: bool = False) -> Fault:
        """Hold matching calls, or only their answers if `late`, until `.gate.set()`.

        `.reached` is set when one is held.
        """
        gate = asyncio.Event()
        return self.faults.plan(method, path, times=times, body_holds=body_holds, gate=gate, late=late)

    # Activities from Teams

    async def send(
        self, bot_url: str, activity: Mapping[str, Any], *, authorization: str | None = None
    ) -> tuple[int, Any]:
        """Send an activity, signed unless an Authorization header is given. Return status and body."""
        body, headers = self.signed(activity)
        return await self.send_raw(
            bot_url, body, headers=headers if authorization is None else {"Authorization": authorization}
        )

    def signed(self, activity: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Return the body and headers of a signed activity, for `send_raw`."""
        authorization = self.signer.header(str(activity.get("serviceUrl")))
        return json.dumps(activity).encode(), {"Authorization": authorization}

    async def send_raw(self, bot_url: str, body: bytes, *, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Send any bytes. Return status and body, parsed if it is JSON."""
        assert self._http is not None
        sent = CIMultiDict(headers)
        sent.setdefault("Content-Type", "application/json")
        async with self._http.post(f"{bot_url}/api/messages", data=io.BytesIO(body), headers=sent) as answer:
            raw = await answer.read()
            try:
                return answer.status, json.loads(raw) if raw else None
            except ValueError:
                return answer.status, raw

    async def post_invoke(
        self,
        bot_url: str,
        person: Person,
        conversation: str | Place,
        verb: str,
        data: Mapping[str, Any] | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> tuple[int, Any]:
        """Click an Action.Execute. Inputs (`{"comment": "…"}`) are merged into its data, as Teams does."""
        merged = {**(data or {}), **(inputs or {})}
        body = activities.invoke(verb, merged, **self._common(person, conversation), **fields)
        return await self.send(bot_url, body)

    async def click(
        self, bot_url: str, person: Person, message: Message, verb: str, inputs: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Click the button with that verb on the card of a message. AssertionError if there is none."""
        return await self.send(bot_url, self.pressed(person, message, verb, inputs))

    def pressed(
        self,
        person: Person,
        message: Message,
        verb: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        trigger: str | None = None,
    ) -> Json:
        """Return the activity for a click on the button with that verb, or for the card's refresh.

        `trigger` is `manual`, `automatic`, or None if the client does not say it. AssertionError if there is no such
        action.
        """
        data = action_data(message.card, verb)
        assert data is not None, f"no {verb!r} on this card"
        thread = f"{message.conversation};messageid={message.root}"
        place = thread if message.conversation.startswith("19:") else message.conversation
        common = self._common(person, place)
        return activities.invoke(verb, {**data, **(inputs or {})}, **common, reply_to=message.id, trigger=trigger)

    async def post_submit(
        self, bot_url: str, person: Person, conversation: str | Place, value: Mapping[str, Any], **fields: Any
    ) -> tuple[int, Any]:
        """Click an Action.Submit, which arrives as a message."""
        return await self.send(bot_url, activities.submitted(value, **self._common(person, conversation), **fields))

    async def post_message(
        self, bot_url: str, person: Person, conversation: str | Place, text: str, **fields: Any
    ) -> tuple[int, Any]:
        """Send the bot a message."""
        return await self.send(bot_url, activities.message(text, **self._common(person, conversation), **fields))

    async def post_installation(
        self, bot_url: str, person: Person, conversation: str | Place, action: str = "add", **fields: Any
    ) -> tuple[int, Any]:
        """Notify the bot that it was installed (`add`) or uninstalled (`remove`). No roster changes."""
        body = activities.installation(action, **self._common(person, conversation), **fields)
        return await self.send(bot_url, body)

    async def post_membership(
        self, bot_url: str, person: Person, conversation: str | Place, **fields: Any
    ) -> tuple[int, Any]:
        """Notify the bot of people who joined (`added=[…]`) or left (`removed=[…]`). No roster changes."""
        return await self.send(bot_url, activities.membership(**self._common(person, conversation), **fields))

    async def post_channel_event(
        self, bot_url: str, person: Person, conversation: str | Place, event: str, **fields: Any
    ) -> tuple[int, Any]:
        """Notify the bot of a change to a channel or team, such as `channelUnshared` or `teamUnarchived`."""
        body = activities.channel_event(event, **self._common(person, conversation), **fields)
        return await self.send(bot_url, body)

    def _common(self, person: Person, conversation: str | Place) -> Json:
        place = conversation if isinstance(conversation, Place) else self.world.place(conversation)
        return {"sender": person, "place": place, "service_url": self.service_url}

    # Calls from the bot

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self.faults.middleware()], client_max_size=4 * 1024 * 1024)
        app.add_routes(self.sign_in.routes())
        app.add_routes(self.graph.routes())
        connector = web.Application(middlewares=[self._checks()])
        connector.add_routes(self.world.routes())
        app.add_subapp(SERVICE, connector)
        return app

    def _checks(self) -> Any:
        """Return a middleware that checks the token and then the size of every Connector call."""

        @web.middleware
        async def check(request: web.Request, handler: Any) -> web.StreamResponse:
            if not self.sign_in.accepts(request.headers.get("Authorization", "")):
                return refuse(UNAUTHORIZED)
            if refusal := size_refusal(await request.read()):
                return refuse(refusal)
            response: web.StreamResponse = await handler(request)
            return response

        return check


def action_data(card: Any, verb: str) -> Json | None:
    """Return the data of the Action.Execute with that verb in a card, or None."""
    if isinstance(card, list):
        return next((found for part in card if (found := action_data(part, verb)) is not None), None)
    if not isinstance(card, dict):
        return None
    if card.get("type") == "Action.Execute" and card.get("verb") == verb:
        return dict(card.get("data") or {})
    return action_data(list(card.values()), verb)


def _id(conversation: str | Place) -> str:
    return conversation if isinstance(conversation, str) else conversation.id
