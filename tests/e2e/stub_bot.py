"""A tiny bot for tests of the sandbox itself: verifies activities, posts messages on request, answers every click."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import jwt
from aiohttp import web

from bot.sandbox.teams.microsoft import BOT_FRAMEWORK
from bot.sandbox.teams.people import SAMPLE_APP_ID, SAMPLE_TENANT, Person
from bot.sandbox.teams.server import SandboxTeams
from tests.fakes.listening import listening

APP_SECRET: Final = "a-sample-secret"
CARD_TYPE: Final = "application/vnd.microsoft.card.adaptive"


def card(title: str, *, buttons: bool = True, comment: str = "") -> dict[str, Any]:
    """Return a card like the product's."""
    body: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": title, "size": "Large", "weight": "Bolder", "wrap": True},
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": comment or "決済APIの調査 *至急*"}]},
    ]
    if buttons:
        body += [
            {"type": "Input.Text", "id": "comment", "label": "コメント（任意）", "isMultiline": True},
            {"type": "ActionSet", "actions": [_action("承認", "approve"), _action("却下", "reject")]},
        ]
    return {"type": "AdaptiveCard", "version": "1.5", "body": body}


def _action(title: str, verb: str) -> dict[str, Any]:
    return {"type": "Action.Execute", "title": title, "verb": verb, "data": {"request": "r", "step": "Level1"}}


class StubBot:
    """The bot. `activities` has every activity that arrived with a valid token."""

    def __init__(self) -> None:
        self.activities: list[dict[str, Any]] = []
        self.decided = ""

    async def post(self, teams: SandboxTeams, method: str, path: str, body: Any) -> dict[str, Any]:
        """Call the Connector as a bot does. Return its answer."""
        async with aiohttp.ClientSession() as http:
            headers = {"Authorization": f"Bearer {await self._token(teams, http)}"}
            async with http.request(method, teams.service_url + path, json=body, headers=headers) as response:
                assert response.ok, await response.text()
                return dict(await response.json())

    async def post_card(self, teams: SandboxTeams, channel: str, content: dict[str, Any]) -> tuple[str, str]:
        """Start a thread with this card; return conversation id and activity id."""
        wanted = {"isGroup": True, "channelData": {"channel": {"id": channel}}, "activity": message(content)}
        made = await self.post(teams, "POST", "v3/conversations", wanted)
        return made["id"], made["activityId"]

    async def direct(self, teams: SandboxTeams, person: Person, content: dict[str, Any] | str) -> None:
        """Send a person a direct message."""
        tenant = {"channelData": {"tenant": {"id": SAMPLE_TENANT}}}
        made = await self.post(teams, "POST", "v3/conversations", {"members": [{"id": person.object_id}]} | tenant)
        await self.post(teams, "POST", activities(made["id"]), message(content))

    async def _token(self, teams: SandboxTeams, http: aiohttp.ClientSession) -> str:
        form = {"grant_type": "client_credentials", "client_id": SAMPLE_APP_ID, "scope": f"{BOT_FRAMEWORK}/.default"}
        url = f"{teams.login_authority}/{SAMPLE_TENANT}/oauth2/v2.0/token"
        async with http.post(url, data=form | {"client_secret": APP_SECRET}) as response:
            return str((await response.json())["access_token"])

    async def handle(self, request: web.Request, teams: SandboxTeams) -> web.Response:
        """Verify an activity, record it, and answer a click with the current card."""
        activity = await request.json()
        claims = await _verified(request.headers["Authorization"].removeprefix("Bearer "), teams)
        if claims["serviceurl"] != activity["serviceUrl"]:
            return web.Response(status=401)
        self.activities.append(activity)
        if activity["type"] != "invoke":
            return web.Response()
        title = self.decided or f"{activity['from']['name']}さんが決めました"
        self.decided = self.decided or title
        comment = activity["value"]["action"]["data"].get("comment", "")
        value = card(title, buttons=False, comment=comment)
        return web.json_response({"statusCode": 200, "type": CARD_TYPE, "value": value})


def message(content: dict[str, Any] | str) -> dict[str, Any]:
    """Return a message activity with this card or text."""
    if isinstance(content, str):
        return {"type": "message", "text": content}
    return {"type": "message", "attachments": [{"contentType": CARD_TYPE, "content": content}]}


def activities(conversation: str, activity: str = "") -> str:
    """Return the Connector's path for a conversation's activities, or for one activity."""
    return f"v3/conversations/{quote(conversation, safe='')}/activities" + (f"/{activity}" if activity else "")


async def _verified(token: str, teams: SandboxTeams) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(teams.openid_metadata_url) as response:
        metadata = await response.json()
        async with http.get(metadata["jwks_uri"]) as keys:
            key = jwt.PyJWKSet.from_dict(await keys.json()).keys[0].key
    return dict(jwt.decode(token, key, algorithms=["RS256"], audience=SAMPLE_APP_ID, issuer=metadata["issuer"]))


@asynccontextmanager
async def running(teams: SandboxTeams) -> AsyncIterator[StubBot]:
    """Run a stub bot to which this Teams sends its activities."""
    bot = StubBot()
    async with listening(partial(bot.handle, teams=teams)) as port:
        teams.bot_url = f"http://127.0.0.1:{port}"
        yield bot
