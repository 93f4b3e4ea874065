"""Inbound activities, parsed once at the edge: bytes in, one well-formed activity out, or NotAnActivity.

Owns the wire shape that the bot relies on. Does no I/O, verifies no token, decides nothing about anybody.
The SDK's own deserialiser is not used: it fails in many ways on hostile input and loses `conversation.tenantId`.
https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference#activity-object
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

DEEPEST = 64  # levels; a card's answer has about six, and every consumer down the line recurses

_SURROGATE = re.compile("[\ud800-\udfff]")


class NotAnActivity(ValueError):
    """The body is not an activity; the text names the place, never the content."""


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, alias_generator=to_camel)


_NonEmpty = Annotated[str, Field(min_length=1)]


class WireAccount(_Wire):
    """Who sent or receives the activity, or joined or left."""

    id: _NonEmpty
    name: str | None = None
    aad_object_id: str | None = None
    tenant_id: str | None = None
    role: str | None = None
    user_role: str | None = None


class WireConversation(_Wire):
    """Where the activity happened."""

    id: _NonEmpty
    name: str | None = None
    conversation_type: str | None = None
    is_group: bool | None = None
    tenant_id: str | None = None


class WireNamed(_Wire):
    """A team, a channel or a tenant in channelData."""

    id: str | None = None
    name: str | None = None


class WireChannelData(_Wire):
    """The part of channelData that Teams documents for bots."""

    tenant: WireNamed | None = None
    team: WireNamed | None = None
    channel: WireNamed | None = None
    event_type: str | None = None


class WireAttachment(_Wire):
    """An attachment of a message; its content is not looked into."""

    content_type: str | None = None
    content_url: str | None = None
    content: Any = None
    name: str | None = None


class WireActivity(_Wire):
    """The fields that the bot relies on, each of the type that the protocol gives it."""

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
    """One activity: as it was sent, and as checked."""

    raw: dict[str, Any]
    wire: WireActivity

    @property
    def tenants(self) -> frozenset[str]:
        """Every tenant that the activity names for its conversation, case-folded."""
        data = self.wire.channel_data
        named = (data.tenant.id if data and data.tenant else None, self.wire.conversation.tenant_id)
        return frozenset(tenant.casefold() for tenant in named if tenant)


def parse(raw: bytes) -> Inbound:
    """Return the activity in a request body; raise NotAnActivity."""
    body = _tidied(_load(raw))
    if not isinstance(body, dict):
        raise NotAnActivity("not an object")
    try:
        return Inbound(raw=body, wire=WireActivity.model_validate(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise NotAnActivity(".".join(str(part) for part in first["loc"][:4])) from None


def _load(raw: bytes) -> Any:
    # `json` itself would guess UTF-16 and UTF-32, and let halves of surrogate pairs through; RFC 8259 knows only UTF-8.
    try:
        text = raw.decode()
        return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse)
    except NotAnActivity:
        raise
    except (ValueError, RecursionError) as error:
        raise NotAnActivity("not JSON") from error


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says two things under one name: whoever reads it next might believe the other."""
    found = dict(members)
    if len(found) != len(members):
        raise NotAnActivity("a name twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotAnActivity("a number beyond all bounds")  # written again it would be no JSON
    return number


def _refuse(constant: str) -> NoReturn:
    raise NotAnActivity(f"{constant} is not JSON")


def _tidied(value: Any, *, depth: int = DEEPEST) -> Any:
    """Bound the depth, and replace halves of surrogate pairs, which no store and no wire can encode."""
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
