"""Parses messages with EventBridge events of just-in-time node access. Sans-IO.

Reads three facts of an event: the request's key; the time, which tells a replayed event from a new one; and the
conflicting policies, which no other source provides.
https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-ssm.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bot.boto.fields import decoded, mapping, moment, sequence, text
from bot.domain.request import OPS_ITEM_ID, InvalidRequestKey, RequestKey
from bot.ports.aws import Hint

SOURCE: Final = "aws.ssm"
FAILED: Final = "JITNA Access Request Failed"
KINDS: Final = frozenset({FAILED, "Approver Access Request Status Update", "Requester Access Request Status Update"})
SENT: Final = "SentTimestamp"  # attribute of a message: when SQS received it, in milliseconds since 1970
MAX_POLICIES = 50  # policies; the most that a Region can have
_MILLISECONDS = re.compile(r"\d{13}", re.ASCII)
_OPS_ITEM = re.compile(rf"arn:aws[\w-]*:ssm:[\w-]*:\d*:opsitem/({OPS_ITEM_ID.pattern})")


class UnreadableEvent(Exception):
    """The message is not an event, or it names no request; the text says which."""


def parse_event(body: object, receipt: str) -> Hint:
    """Parse the body of a message. The hint of an event of another kind has no key. Raises UnreadableEvent."""
    envelope = mapping(decoded(body))
    kind = text(envelope.get("detail-type"))
    if kind is None:
        raise UnreadableEvent("not an EventBridge envelope")
    if kind not in KINDS or envelope.get("source") != SOURCE:
        return Hint(receipt, None, kind)
    policies = _policies(mapping(envelope.get("detail"))) if kind == FAILED else ()
    return Hint(receipt, _key(envelope), kind, policies, moment(envelope.get("time")))


def sent_at(attributes: object) -> datetime | None:
    """Return the time at which SQS received a message, from its attributes; None if it is missing or invalid."""
    value = text(mapping(attributes).get(SENT)) or ""
    return datetime.fromtimestamp(int(value) / 1000, UTC) if _MILLISECONDS.fullmatch(value) else None


def _key(envelope: Mapping[str, object]) -> RequestKey:
    place = (text(envelope.get("account")), text(envelope.get("region")), _ops_item_id(envelope))
    try:
        return RequestKey.parse("/".join(each or "" for each in place))
    except InvalidRequestKey:
        raise UnreadableEvent("account, Region or OpsItem id is missing or malformed") from None


def _ops_item_id(envelope: Mapping[str, object]) -> str | None:
    named = text(mapping(envelope.get("detail")).get("OpsItemId"))
    arns = (_OPS_ITEM.fullmatch(each) for each in sequence(envelope.get("resources")) if isinstance(each, str))
    return named or next((found[1] for found in arns if found), None)


def _policies(detail: Mapping[str, object]) -> tuple[str, ...]:
    found = [text(each) for each in sequence(detail.get("ApplicablePolicies"))[:MAX_POLICIES]]
    return tuple(each for each in found if each)
