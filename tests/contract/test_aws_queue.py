"""How events come in, over real HTTP: hints are taken, foreign ones told apart, poison left to the queue's redrive."""

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
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, staged


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox with an empty queue."""
    with staged() as scene:
        yield scene


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
async def side(scene: Scene, registry: CollectorRegistry) -> AsyncIterator[AwsSide]:
    async with aws_side(scene, queue_url=scene.aws.world.queue_url, telemetry=Telemetry(registry)) as side:
        yield side


@pytest.fixture
def queue(side: AwsSide) -> SqsQueue:
    assert side.queue is not None
    return side.queue


def visible(scene: Scene, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = scene.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


async def test_a_request_arrives_as_hints(scene: Scene, queue: SqsQueue) -> None:
    """The approver's and the requester's event name the same request; deleted, they are gone."""
    key = key_of(scene.ask())
    hints = await queue.receive()
    assert [hint.key for hint in hints] == [key, key]
    for hint in hints:
        await queue.delete(hint)
    assert visible(scene, scene.aws.world.queue_url) == 0


async def test_a_conflict_names_its_policies(scene: Scene, queue: SqsQueue) -> None:
    """Only the event of a failed request tells which policies contradict each other."""
    key = key_of(scene.ask("batch-01"))
    (hint,) = await queue.receive()
    assert (hint.key, hint.conflicting_policies) == (key, ("Batch-Nodes", "Standard-Nodes"))


async def test_a_foreign_event_is_returned_to_be_deleted(scene: Scene, queue: SqsQueue) -> None:
    """A rule that is too wide must not fill the queue."""
    scene.aws.events.send(json.dumps({"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"}))
    (hint,) = await queue.receive()
    assert hint.key is None
    assert hint.event == "EC2 Instance State-change Notification"


async def test_poison_goes_to_the_dead_letter_queue(
    scene: Scene, queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be parsed is never returned and never deleted; the queue's own redrive takes it away."""
    monkeypatch.setattr(queue_module, "INVISIBLE_SECONDS", 0)
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 0)
    scene.aws.events.send("poison")
    for _ in range(MAX_RECEIVES + 1):
        assert await queue.receive() == []
    assert visible(scene, scene.aws.world.queue_url) == 0
    assert visible(scene, scene.aws.world.dead_letter_queue_url) == 1


async def test_poison_does_not_hide_the_rest(scene: Scene, queue: SqsQueue) -> None:
    """A batch with one bad message still brings the good ones."""
    scene.aws.events.send("poison")
    key = key_of(scene.ask())
    assert [hint.key for hint in await queue.receive()] == [key, key]


async def test_a_message_stays_away_while_it_is_worked_on(scene: Scene, queue: SqsQueue) -> None:
    """A long poll of a few seconds in batches of ten, and time enough to store and delete them."""
    scene.ask()
    await queue.receive()
    (call,) = scene.aws.calls("ReceiveMessage")
    wanted = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 5, "VisibilityTimeout": 60}
    assert {name: call.params[name] for name in wanted} == wanted


def lag(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    """Return how many messages were measured, and the seconds that they waited together."""
    name = "node_access_queue_lag_seconds"
    return registry.get_sample_value(f"{name}_count"), registry.get_sample_value(f"{name}_sum")


async def test_how_long_events_waited_is_measured(scene: Scene, queue: SqsQueue, registry: CollectorRegistry) -> None:
    """From the moment at which SQS took the message, which has to be asked for, until it was received."""
    scene.ask()
    scene.clock.moment = datetime.now(UTC) + timedelta(seconds=90)  # SQS's own clock cannot be moved
    assert len(await queue.receive()) == 2
    count, waited = lag(registry)
    assert count == 2
    assert waited is not None
    assert 2 * 90 <= waited < 2 * 150


async def test_clocks_that_differ_measure_no_time(scene: Scene, queue: SqsQueue, registry: CollectorRegistry) -> None:
    """Nothing has waited for less than no time, and the sum of a histogram must not sink."""
    scene.ask("batch-01")
    scene.clock.moment = datetime.now(UTC) - timedelta(seconds=90)
    assert len(await queue.receive()) == 1
    assert lag(registry) == (1, 0)


async def test_a_message_that_tells_no_time_is_taken_all_the_same(
    scene: Scene, queue: SqsQueue, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measurement is left out, the event is not."""
    monkeypatch.setattr(queue_module, "SENT", "SenderId")  # what SQS is asked for, and so all that it tells
    scene.ask("batch-01")
    assert len(await queue.receive()) == 1
    assert lag(registry) == (0, 0)


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"])
async def test_a_queue_that_fails_says_so(scene: Scene, side: AwsSide, queue: SqsQueue, operation: str) -> None:
    """Every call raises the port's error, with AWS's code."""
    scene.ask()
    (hint, *_) = await queue.receive()
    scene.aws.faults.fail(operation, "AccessDenied", times=None)
    calls = {"ReceiveMessage": queue.receive, "GetQueueAttributes": side.ready}
    with pytest.raises(AwsUnavailable) as caught:
        await (queue.delete(hint) if operation == "DeleteMessage" else calls[operation]())
    assert caught.value.code == "AccessDenied"


async def test_readiness_asks_the_queue(scene: Scene, side: AwsSide) -> None:
    """/readyz is green only when the queue has answered."""
    await side.ready()
    assert len(scene.aws.calls("GetQueueAttributes")) == 1


async def test_without_a_queue_there_is_nothing_to_ask(scene: Scene) -> None:
    """Sweep only: no queue, and readiness does not wait for one."""
    async with aws_side(scene) as side:
        await side.ready()
        assert side.queue is None
    assert scene.aws.calls() == []
