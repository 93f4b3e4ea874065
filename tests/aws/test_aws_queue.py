"""Receiving events from SQS over real HTTP: hints, foreign events, and unreadable messages."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from bot.aws import queue as queue_module
from bot.aws.assembly import AwsSide
from bot.aws.queue import SqsQueue
from bot.ports.aws import AwsUnavailable
from bot.sandbox.aws.world import MAX_RECEIVES
from bot.telemetry import Telemetry
from tests.contract import documents
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, staged


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox with an empty queue."""
    with staged() as scene:
        yield scene


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry for this test only."""
    return CollectorRegistry()


@pytest.fixture
async def side(scene: Scene, registry: CollectorRegistry) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side, which receives from the sandbox's queue."""
    async with aws_side(scene, queue_url=scene.aws.world.queue_url, telemetry=Telemetry(registry)) as side:
        yield side


@pytest.fixture
def queue(side: AwsSide) -> SqsQueue:
    """Return the bot's queue."""
    assert side.queue is not None
    return side.queue


def size(scene: Scene, url: str) -> int:
    """Return the number of messages in a queue, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = scene.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


async def test_both_events_of_a_request_are_received_with_its_key(scene: Scene, queue: SqsQueue) -> None:
    """The approver's and the requester's event name the same request; after both are deleted the queue is empty."""
    key = key_of(scene.ask())
    hints = await queue.receive()
    assert [hint.key for hint in hints] == [key, key]
    await queue.delete(hints)
    assert len(scene.aws.calls("DeleteMessageBatch")) == 1
    assert size(scene, scene.aws.world.queue_url) == 0


async def test_event_of_a_failed_request_is_received_with_its_conflicting_policies(
    scene: Scene, queue: SqsQueue
) -> None:
    """The event of a request that failed because two policies conflict names both policies."""
    key = key_of(scene.ask("batch-01"))
    (hint,) = await queue.receive()
    assert (hint.key, hint.conflicting_policies) == (key, ("Batch-Nodes", "Standard-Nodes"))


async def test_event_of_another_aws_service_is_received_without_a_request(scene: Scene, queue: SqsQueue) -> None:
    """The hint names the event and no request, so the bot can delete the message and the queue does not fill."""
    scene.aws.events.send(json.dumps({"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"}))
    (hint,) = await queue.receive()
    assert hint.key is None
    assert hint.event == "EC2 Instance State-change Notification"


async def test_unreadable_message_goes_to_the_dead_letter_queue(
    scene: Scene, queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is never returned and never deleted. After MAX_RECEIVES, the queue's redrive policy moves it."""
    monkeypatch.setattr(queue_module, "INVISIBLE_SECONDS", 0)
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 0)
    scene.aws.events.send("poison")
    for _ in range(MAX_RECEIVES + 1):
        assert await queue.receive() == []
    assert size(scene, scene.aws.world.queue_url) == 0
    assert size(scene, scene.aws.world.dead_letter_queue_url) == 1


def test_simulated_queue_moves_a_message_after_as_many_receives_as_the_documented_queue() -> None:
    """The proofs use this value, too."""
    attributes = json.loads((documents.ROOT / "infra" / "aws" / "queue.json").read_text("utf-8"))
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == MAX_RECEIVES


async def test_readable_messages_are_returned_beside_an_unreadable_one(scene: Scene, queue: SqsQueue) -> None:
    """An unreadable message in the queue does not keep the readable ones from being returned."""
    scene.aws.events.send("poison")
    key = key_of(scene.ask())
    assert [hint.key for hint in await queue.receive()] == [key, key]


async def test_receiving_requests_ten_messages_and_hides_them_for_a_minute(scene: Scene, queue: SqsQueue) -> None:
    """The call asks SQS to wait 5 seconds for messages. The minute gives the bot the time to delete them."""
    scene.ask()
    await queue.receive()
    (call,) = scene.aws.calls("ReceiveMessage")
    wanted = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 5, "VisibilityTimeout": 60}
    assert {name: call.params[name] for name in wanted} == wanted


def lag(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    """Return the number of measured messages and their total waiting time in seconds."""
    name = "node_access_queue_lag_seconds"
    return registry.get_sample_value(f"{name}_count"), registry.get_sample_value(f"{name}_sum")


async def test_waiting_time_of_events_is_measured(scene: Scene, queue: SqsQueue, registry: CollectorRegistry) -> None:
    """The time counts from the arrival of the message at SQS until the bot receives it."""
    scene.ask()
    scene.clock.moment = datetime.now(UTC) + timedelta(seconds=90)  # SQS's own clock cannot be moved
    assert len(await queue.receive()) == 2
    count, waited = lag(registry)
    assert count == 2
    assert waited is not None
    assert 2 * 90 <= waited < 2 * 150


async def test_negative_waiting_time_of_an_event_counts_as_zero(
    scene: Scene, queue: SqsQueue, registry: CollectorRegistry
) -> None:
    """Clocks may differ, and the sum of a histogram must not decrease."""
    scene.ask("batch-01")
    scene.clock.moment = datetime.now(UTC) - timedelta(seconds=90)
    assert len(await queue.receive()) == 1
    assert lag(registry) == (1, 0)


async def test_message_without_a_sent_time_is_returned_and_its_wait_is_not_measured(
    scene: Scene, queue: SqsQueue, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is returned; only its waiting time is not measured."""
    monkeypatch.setattr(queue_module, "SENT", "SenderId")  # another attribute is requested, so the answer has no time
    scene.ask("batch-01")
    assert len(await queue.receive()) == 1
    assert lag(registry) == (0, 0)


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessageBatch", "GetQueueAttributes"])
async def test_failed_call_to_the_queue_raises_aws_unavailable_with_the_code_of_aws(
    scene: Scene, queue: SqsQueue, operation: str
) -> None:
    """The calls are receiving, deleting and the check."""
    scene.ask()
    (hint, *_) = await queue.receive()
    scene.aws.faults.fail(operation, "AccessDenied", times=None)
    calls = {"ReceiveMessage": queue.receive, "GetQueueAttributes": queue.check}
    with pytest.raises(AwsUnavailable) as caught:
        await (queue.delete([hint]) if operation == "DeleteMessageBatch" else calls[operation]())
    assert caught.value.code == "AccessDenied"


async def test_check_of_the_queue_reads_its_attributes_once(scene: Scene, queue: SqsQueue) -> None:
    """The check makes one call of GetQueueAttributes."""
    await queue.check()
    assert len(scene.aws.calls("GetQueueAttributes")) == 1


async def test_bot_without_a_queue_url_has_no_queue(scene: Scene) -> None:
    """Without a queue URL, `queue` is None and no call to AWS is made."""
    async with aws_side(scene) as side:
        assert side.queue is None
    assert scene.aws.calls() == []
