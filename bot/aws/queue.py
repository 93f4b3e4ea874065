"""The SQS queue that receives EventBridge events: `ports.aws.Queue`.

Unreadable messages stay in the queue until its redrive policy moves them to the dead-letter queue.
"""

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import structlog

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.aws.events import SENT, UnreadableEvent, parse_event, sent_at
from bot.boto.failures import CallFailed, unavailable
from bot.boto.fields import mapping, rows, text
from bot.boto.sdk import POLL_SECONDS, Answer
from bot.ports.aws import AwsUnavailable, Hint
from bot.ports.clock import Clock
from bot.ports.probes import QueueSettings
from bot.telemetry import Telemetry, observe_wait

BATCH = 10  # messages; the most that SQS returns
NOT_DELETED = "NotDeleted"  # the code, if AWS gives no reason
SEND = "sqs:sendmessage"  # the action with which EventBridge sends
INVISIBLE_SECONDS = 60  # seconds until a message that was not deleted is received again; processing a batch takes a few
log = structlog.get_logger(__name__)


class SqsQueue:
    """Receives messages from one queue in the bot's own account and Region."""

    def __init__(self, clients: Clients, url: str, *, clock: Clock, telemetry: Telemetry) -> None:
        self._clients, self._url, self._clock, self._telemetry = clients, url, clock, telemetry

    async def receive(self) -> Sequence[Hint]:
        """Return the next messages that are readable; wait at most POLL_SECONDS for them. Raises AwsUnavailable."""
        answer = await self._call(
            "receive_message",
            Lane.POLL,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=INVISIBLE_SECONDS,
            MessageSystemAttributeNames=[SENT],
        )
        messages = rows(answer.get("Messages"))
        self._note_ages(messages)
        return list(_hints(messages))

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Delete messages, at most BATCH. Raises AwsUnavailable unless AWS says that all are deleted."""
        entries = [{"Id": str(number), "ReceiptHandle": hint.receipt} for number, hint in enumerate(hints)]
        answer = await self._call("delete_message_batch", Lane.RECONCILE, Entries=entries)
        deleted = {text(each.get("Id")) for each in rows(answer.get("Successful"))}
        if any(entry["Id"] not in deleted for entry in entries):
            codes = (text(each.get("Code")) for each in rows(answer.get("Failed")))
            raise AwsUnavailable(next(filter(None, codes), NOT_DELETED))

    async def check(self) -> None:
        """Check that the queue answers. Raises AwsUnavailable."""
        await self._call("get_queue_attributes", Lane.RECONCILE, AttributeNames=["QueueArn"])

    async def try_to_receive(self) -> None:
        """Receive at most one message, without waiting, and leave it visible. AWS counts it. Raises AwsUnavailable."""
        await self._call("receive_message", Lane.SWEEP, MaxNumberOfMessages=1, WaitTimeSeconds=0, VisibilityTimeout=0)

    async def settings(self) -> QueueSettings:
        """Return whether the queue's policy lets anybody send, and the queue's KMS key. Raises AwsUnavailable."""
        names = ("Policy", "KmsMasterKeyId")
        answer = await self._call("get_queue_attributes", Lane.SWEEP, AttributeNames=list(names))
        found = mapping(answer.get("Attributes"))
        policy, key = (text(found.get(name)) or "" for name in names)
        return QueueSettings(lets_somebody_send(policy), key)

    def _note_ages(self, messages: Iterable[Answer]) -> None:
        now = self._clock.now()
        for message in messages:
            if began := sent_at(message.get("Attributes")):
                observe_wait(self._telemetry.queue_lag, began, now)

    async def _call(self, operation: str, lane: Lane, **params: object) -> Answer:
        try:
            return await self._clients.own("sqs", operation, lane, QueueUrl=self._url, **params)
        except CallFailed as failed:
            raise unavailable(failed) from failed


def lets_somebody_send(policy: str) -> bool:
    """Return whether a queue's policy allows anybody to send. True if it cannot be read, because it may be right."""
    if not policy.strip():
        return False
    try:
        statements = json.loads(policy)["Statement"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return True
    allowed = (each for each in _listed(statements) if isinstance(each, dict) and each.get("Effect") == "Allow")
    return any("NotAction" in each or any(map(_is_send, _listed(each.get("Action")))) for each in allowed)


def _is_send(action: object) -> bool:
    """Return whether an action of a policy, which may have wildcards and any letter case, includes sending."""
    return fnmatchcase(SEND, str(action).casefold())


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else (value,)


def _hints(messages: Iterable[Answer]) -> Iterable[Hint]:
    for message in messages:
        try:
            yield parse_event(message.get("Body"), text(message.get("ReceiptHandle")) or "")
        except UnreadableEvent as problem:
            log.warning("event_unreadable", message=text(message.get("MessageId")), problem=str(problem))
