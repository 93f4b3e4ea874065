"""The yardsticks of an invoke: two programs that answer each one with the same card.

    python -m tests.bench.anchors stock|bare CARD METADATA

They print their port, and end when their standard input ends.

- stock: the CloudAdapter of botbuilder-integration-aiohttp and its TeamsActivityHandler, as the SDK's samples use them.
- bare: an aiohttp handler that verifies the token (RS256, issuer, audience, times) and parses the JSON.

CARD is a file with the card; METADATA is the address of the OpenID metadata with the signing keys.
"""

import asyncio
import json
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
from aiohttp import web
from botbuilder.core import InvokeResponse, TurnContext
from botbuilder.core.teams import TeamsActivityHandler
from botbuilder.integration.aiohttp import CloudAdapter, ConfigurationBotFrameworkAuthentication
from botbuilder.schema import AdaptiveCardInvokeResponse

from bot.teams.login.clouds import PUBLIC
from bot.teams.wire.outgoing import card_answer
from tests.fakes.people import APP_ID, TENANT_ID
from tests.fakes.signing import SECRET

CARD_TYPE = "application/vnd.microsoft.card.adaptive"


class CardBot(TeamsActivityHandler):
    """Answers every click with one card."""

    def __init__(self, card: Any) -> None:
        self._card = card

    async def on_invoke_activity(self, turn_context: TurnContext) -> InvokeResponse:
        """Return the card. The SDK's own `on_adaptive_card_invoke` fails: it serialises the answer twice."""
        answer = AdaptiveCardInvokeResponse(status_code=200, type=CARD_TYPE, value=self._card)
        return InvokeResponse(status=200, body=answer)


def stock(card: Any, metadata: str) -> Any:
    """Return the handler of the stock adapter."""
    settings = SimpleNamespace(
        APP_ID=APP_ID,
        APP_PASSWORD=SECRET,
        APP_TENANTID=TENANT_ID,
        APP_TYPE="SingleTenant",
        TO_CHANNEL_FROM_BOT_LOGIN_URL="https://login.microsoftonline.com/botframework.com",
        TO_CHANNEL_FROM_BOT_OAUTH_SCOPE=PUBLIC.resource,
        TO_BOT_FROM_CHANNEL_TOKEN_ISSUER=PUBLIC.issuer,
        TO_BOT_FROM_CHANNEL_OPENID_METADATA_URL=metadata,
        TO_BOT_FROM_EMULATOR_OPENID_METADATA_URL=metadata,
    )
    adapter, bot = CloudAdapter(ConfigurationBotFrameworkAuthentication(settings)), CardBot(card)

    async def handle(request: web.Request) -> web.Response:
        answer: web.Response | None = await adapter.process(request, bot)
        assert answer is not None
        return answer

    return handle


def bare(card: Any, metadata: str) -> Any:
    """Return the handler that only verifies the token."""
    keys = {
        each["kid"]: jwt.PyJWK(each, algorithm="RS256").key for each in _fetched(_fetched(metadata)["jwks_uri"])["keys"]
    }
    answer = card_answer(card)

    async def handle(request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        key = keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, algorithms=["RS256"], audience=APP_ID, issuer=PUBLIC.issuer)
        activity = await request.json()
        if activity["type"] != "invoke":
            raise web.HTTPNotImplemented
        return web.json_response(answer)

    return handle


def _fetched(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:  # the fake Microsoft on loopback
        return json.load(answer)


async def serve(handler: Any) -> None:
    """Serve on a free port of loopback, print it, and run until standard input ends."""
    app = web.Application()
    app.router.add_post("/api/messages", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    kind, file, address = sys.argv[1:]
    shown = json.loads(Path(file).read_text("utf-8"))
    asyncio.run(serve({"stock": stock, "bare": bare}[kind](shown, address)))
