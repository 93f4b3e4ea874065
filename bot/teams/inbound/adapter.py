"""The archived SDK behind our own edge: a CloudAdapterBase whose authentication and connector are ours.

Owns the seam. `TurnContext.send_activity`, `update_activity` and `delete_activity` go through connector.py; the SDK's
token checks, credentials and HTTP clients are never reached.
"""
# ruff: noqa: ARG002 - the signatures are the SDK's

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NoReturn

from botbuilder.core import CloudAdapterBase, InvokeResponse, TurnContext
from botbuilder.schema import Activity, ResourceResponse
from botframework.connector.auth import (
    AuthenticateRequestResult,
    BotFrameworkAuthentication,
    ClaimsIdentity,
    ConnectorFactory,
)
from msrest.serialization import Model

from bot.teams.inbound.tokens import VerifiedToken
from bot.teams.outbound.connector import Connector
from bot.teams.wire.activity import Inbound, as_sdk_activity

RAW_ACTIVITY = "bot.raw_activity"
"""Key of the turn state under which the body lies as it was sent; the SDK's model loses fields."""
INBOUND = "bot.inbound"
"""Key of the turn state under which the checked activity (Inbound) lies."""

_CHANNEL_SERVICE = "https://api.botframework.com"

Turn = Callable[[TurnContext], Awaitable[None]]


class _Conversations:
    """The part of the SDK's `ConnectorClient.conversations` that its adapter calls."""

    def __init__(self, connector: Connector, service_url: str) -> None:
        self._connector = connector
        self._service_url = service_url

    async def send_to_conversation(self, conversation_id: str, activity: Activity) -> ResourceResponse:
        posted = await self._connector.post_to_conversation(
            self._service_url, conversation=conversation_id, activity=activity.serialize()
        )
        return ResourceResponse(id=posted)

    async def reply_to_activity(self, conversation_id: str, activity_id: str, activity: Activity) -> ResourceResponse:
        posted = await self._connector.reply(
            self._service_url, conversation=conversation_id, to=activity_id, activity=activity.serialize()
        )
        return ResourceResponse(id=posted)

    async def update_activity(self, conversation_id: str, activity_id: str, activity: Activity) -> ResourceResponse:
        await self._connector.update_activity(
            self._service_url,
            conversation=conversation_id,
            activity_id=activity_id,
            activity=activity.serialize(),
        )
        return ResourceResponse(id=activity_id)

    async def delete_activity(self, conversation_id: str, activity_id: str) -> None:
        await self._connector.delete_activity(self._service_url, conversation=conversation_id, activity_id=activity_id)


class _ConnectorClient:
    def __init__(self, connector: Connector, service_url: str) -> None:
        self.conversations = _Conversations(connector, service_url)


class _Factory(ConnectorFactory):
    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def create(self, service_url: str, audience: str | None = None) -> Any:
        return _ConnectorClient(self._connector, service_url)


class _Authentication(BotFrameworkAuthentication):
    """Gives the SDK our connector. It authenticates nobody: a request reaches the SDK only once it is verified."""

    def __init__(self, connector: Connector) -> None:
        self._factory = _Factory(connector)

    async def authenticate_request(self, activity: Activity, auth_header: str) -> NoReturn:
        raise PermissionError("requests are verified before the SDK sees them")

    async def authenticate_streaming_request(self, auth_header: str, channel_id_header: str) -> NoReturn:
        raise PermissionError("there is no streaming endpoint")

    def create_connector_factory(self, claims_identity: ClaimsIdentity) -> ConnectorFactory:
        return self._factory

    async def create_user_token_client(self, claims_identity: ClaimsIdentity) -> None:
        return None  # nobody signs in through the bot


class TeamsAdapter(CloudAdapterBase):
    """Runs verified activities through the SDK's pipeline."""

    def __init__(self, connector: Connector) -> None:
        self._authentication = _Authentication(connector)
        super().__init__(self._authentication)

    async def run(self, inbound: Inbound, *, token: VerifiedToken, turn: Turn) -> tuple[int, Any]:
        """Run one turn; return status and body (JSON data or None) as the turn left them."""
        claims = ClaimsIdentity(dict(token.claims), is_authenticated=True)
        result = AuthenticateRequestResult()
        result.claims_identity = claims
        result.audience = _CHANNEL_SERVICE
        result.connector_factory = self._authentication.create_connector_factory(claims)

        async def logic(context: TurnContext) -> None:
            context.turn_state[RAW_ACTIVITY] = inbound.raw
            context.turn_state[INBOUND] = inbound
            await turn(context)

        response = await self.process_activity(result, as_sdk_activity(inbound), logic)
        return _plain(response)


def _plain(response: InvokeResponse | None) -> tuple[int, Any]:
    """Return an invoke's status and body as plain data: the SDK serialises bodies twice, and fails at it."""
    if response is None:
        return HTTPStatus.OK, None
    body = response.body
    return int(response.status), body.serialize() if isinstance(body, Model) else body
