"""Parses inbound activities: bytes to one well-formed activity, or NotAnActivity.

The SDK's deserialiser is not used: it fails in many ways on hostile input and loses `conversation.tenantId`.
https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference#activity-object
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

DEEPEST: Final = 64  # levels; a card's data has about six. Later code recurses, so more could exhaust the stack.

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # in JSON, the only way to write one


class NotAnActivity(ValueError):
    """The body is not an activity. The error text contains the name of the field, never its content."""


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, alias_generator=to_camel)


_NonEmpty = Annotated[str, Field(min_length=1)]


class WireAccount(_Wire):
    """A person or bot: sender, recipient, or a member that joined or left."""

    id: _NonEmpty
    name: str | None = None
    aad_object_id: str | None = None
    tenant_id: str | None = None
    role: str | None = None
    user_role: str | None = None


class WireConversation(_Wire):
    """The conversation of the activity."""

    id: _NonEmpty
    name: str | None = None
    conversation_type: str | None = None
    is_group: bool | None = None
    tenant_id: str | None = None


class WireNamed(_Wire):
    """A channel or tenant in channelData."""

    id: str | None = None
    name: str | None = None


class WireTeam(WireNamed):
    """A team in channelData. Teams documents `aad_group_id` for events; messages may lack it."""

    aad_group_id: str | None = None


class WireChannelData(_Wire):
    """The part of channelData that Teams documents for bots."""

    tenant: WireNamed | None = None
    team: WireTeam | None = None
    channel: WireNamed | None = None
    event_type: str | None = None


class WireAttachment(_Wire):
    """An attachment of a message. The bot checks its form and does not read it."""

    content_type: str | None = None
    content_url: str | None = None
    content: Any = None
    name: str | None = None


class WireActivity(_Wire):
    """The fields whose types are checked. The bot does not read all of them."""

    type: _NonEmpty
    id: str | None = None
    name: str | None = None
    text: str | None = None
    text_format: str | None = None
    locale: str | None = None
    action: str | None = None
    reply_to_id: str | None = None
    channel_id: str | None = None
    service_url: str | None = None
    sender: WireAccount = Field(alias="from")
    recipient: WireAccount
    conversation: WireConversation
    channel_data: WireChannelData | None = None
    members_added: list[WireAccount] | None = None
    members_removed: list[WireAccount] | None = None
    entities: list[dict[str, Any]] | None = None
    attachments: list[WireAttachment] | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One activity: the JSON object with all its members, and the checked fields.

    `received_at` is the time at which its HTTP request arrived; None in an activity that did not come from the
    endpoint.
    """

    raw: dict[str, Any]
    wire: WireActivity
    received_at: datetime | None = None

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants of the conversation that the activity states, case-folded."""
        data = self.wire.channel_data
        named = (data.tenant.id if data and data.tenant else None, self.wire.conversation.tenant_id)
        return frozenset(tenant.casefold() for tenant in named if tenant)

    def is_of_tenant(self, tenant_id: str) -> bool:
        """Return whether the activity states this tenant and no other. An activity without a tenant belongs to none."""
        return self.tenants == {tenant_id.casefold()}


def parse(raw: bytes) -> Inbound:
    """Return the activity in a request body. Raises NotAnActivity."""
    body = strict_json(raw)
    if _ESCAPED_SURROGATE.search(raw) or raw.count(b"{") + raw.count(b"[") >= DEEPEST:
        body = _tidied(body)
    if not isinstance(body, dict):
        raise NotAnActivity("not an object")
    try:
        return Inbound(raw=body, wire=WireActivity.model_validate(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise NotAnActivity(".".join(str(part) for part in first["loc"][:4])) from None


def strict_json(raw: bytes) -> Any:
    """Parse JSON in UTF-8. Raises NotAnActivity.

    `json.loads` would also accept UTF-16, UTF-32, half surrogate pairs, duplicate names and infinite numbers.
    """
    try:
        text = raw.decode()
        return json.loads(text, object_pairs_hook=unique_members, parse_float=finite_number, parse_constant=_refuse)
    except NotAnActivity:
        raise
    except (ValueError, RecursionError) as error:
        raise NotAnActivity("not JSON") from error


def unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises NotAnActivity for duplicate names: parsers differ in which value they use."""
    found = dict(members)
    if len(found) != len(members):
        raise NotAnActivity("a name twice")
    return found


def finite_number(digits: str) -> float:
    """Return a JSON number. Raises NotAnActivity for an infinite number, which cannot be written as JSON again."""
    number = float(digits)
    if not math.isfinite(number):
        raise NotAnActivity("a number beyond all bounds")
    return number


def _refuse(constant: str) -> NoReturn:
    raise NotAnActivity(f"{constant} is not JSON")


def _tidied(value: Any, *, depth: int = DEEPEST) -> Any:
    """Replace half surrogate pairs, which cannot be encoded. Raises NotAnActivity for more than `depth` levels."""
    if depth == 0:
        raise NotAnActivity("nested too deeply")
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [_tidied(item, depth=depth - 1) for item in value]
        case dict():
            return {_tidied(key, depth=depth): _tidied(item, depth=depth - 1) for key, item in value.items()}
        case _:
            return value
