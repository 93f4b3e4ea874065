"""Who an IAM Identity Center user is, read over real HTTP: two names of a record, and nothing where anything is odd."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from bot.aws import identity_center
from bot.aws.assembly import AwsSide
from bot.boto import sdk
from bot.ports.aws import AwsUnavailable
from bot.sandbox.aws.identity_center import STORE, instance
from bot.sandbox.aws.world import ACCOUNT, REGION, REQUESTER
from tests.contract import gateway
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, staged

TARO = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
HANAKO = "e1fbc510-8081-70c2-448f-0123456789ac"
NOBODY = "e1fbc510-8081-70c2-448f-0123456789ad"
NAMES = (REQUESTER, REQUESTER)
LISTING, READING = "ListInstances", "DescribeUser"

scene, side = gateway.scene, gateway.side


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """Run one sandbox with two users of Identity Center for all tests of this file."""
    with staged(identity_center_users={REQUESTER: TARO, "hanako.sato@example.com": HANAKO}) as scene:
        yield scene


def count(scene: Scene, operation: str) -> int:
    return len(scene.aws.calls(operation))


async def code_of(side: AwsSide, user_id: str = TARO) -> str:
    """Return why a record cannot be read."""
    with pytest.raises(AwsUnavailable) as failed:
        await side.identities.names(user_id)
    return failed.value.code


def record(**changed: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change a record; None takes a member out of it."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**answer, **changed}.items() if value is not None}

    return rewrite


def mail(*addresses: str, **more: object) -> list[dict[str, object]]:
    return [{"Value": each, "Primary": True, **more} for each in addresses]


# --- what is read


async def test_a_user_is_named_by_the_record(scene: Scene, side: AwsSide) -> None:
    """User name and primary address, read as the bot in its own Region; the store's id is learnt once."""
    assert await side.identities.names(TARO) == NAMES
    assert await side.identities.names(HANAKO) == ("hanako.sato@example.com", "hanako.sato@example.com")
    calls = [*scene.aws.calls(LISTING), *scene.aws.calls(READING)]
    assert [call.operation for call in calls] == [LISTING, READING, READING]
    assert {(call.region, call.caller.split("/")[1]) for call in calls} == {(REGION, "NodeAccessBot")}
    assert [call.params["IdentityStoreId"] for call in calls[1:]] == [STORE, STORE]


async def test_a_request_may_name_its_requester_by_id_alone(scene: Scene, side: AwsSide) -> None:
    """An OpsItem without the ARN: the id is the requester, and its record says who that is."""
    asked = scene.ask()

    def without_arn(answer: dict[str, Any]) -> dict[str, Any]:
        item = answer["OpsItem"]
        kept = item["OperationalData"]["/aws/accessrequest"]
        about = json.loads(kept["Value"])
        about["requester"]["arn"] = ""
        data = {**item["OperationalData"], "/aws/accessrequest": {**kept, "Value": json.dumps(about)}}
        return {"OpsItem": {**item, "OperationalData": data}}

    scene.aws.faults.rewrite("GetOpsItem", without_arn)
    request = await side.requests.observe(key_of(asked))
    assert (request.requester, request.complete) == (TARO, True)
    assert await side.identities.names(request.requester) == NAMES


async def test_reads_keep_to_a_rate(scene: Scene) -> None:
    """The quota is the whole organization's: several users are asked for one after the other, with pauses."""
    async with aws_side(scene, rates={"identitystore": 1.0, "sso-admin": 1.0}) as side:
        began = scene.clock()
        for user_id in (TARO, HANAKO, NOBODY):
            await side.identities.names(user_id)
    assert scene.clock() - began >= timedelta(seconds=2)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Emails": mail("t@corp.example.com")}, (REQUESTER, "t@corp.example.com")),
        ({"UserName": "taro", "Emails": mail(" Taro@Example.com ")}, ("taro", "Taro@Example.com")),
        ({"UserName": None}, (REQUESTER,)),
        ({"Emails": None}, (REQUESTER,)),
        ({"Emails": mail("t@example.com", Primary=False)}, (REQUESTER,)),
        ({"Emails": [{"Value": "t@example.com"}]}, (REQUESTER,)),
        ({"Emails": [{"Primary": True}]}, (REQUESTER,)),
        ({"UserName": "t" * 128, "Emails": None}, ("t" * 128,)),
        ({"Emails": mail("t\t@example.com")}, (REQUESTER,)),
        ({"Emails": mail("t\u3000@example.com")}, (REQUESTER,)),
        ({"UserName": None, "Emails": mail(" ")}, ()),
        ({"Emails": mail("t" * 309 + "@example.com")}, (REQUESTER,)),
        ({"UserId": TARO.upper()}, NAMES),
    ],
)
async def test_what_is_no_name_counts_as_none(
    scene: Scene, side: AwsSide, changed: dict[str, object], expected: tuple[str, ...]
) -> None:
    """An address is the user's where the record calls it primary; what is too long or not seen names nobody."""
    scene.aws.faults.rewrite(READING, record(**changed))
    assert await side.identities.names(TARO) == expected


@pytest.mark.parametrize("wrong", [7, True, [], {"a": "b"}, "", [["x"]], [7], [{"Value": 7, "Primary": True}]])
@pytest.mark.parametrize("member", ["UserName", "Emails"])
def test_members_of_another_shape_name_nobody(member: str, wrong: object) -> None:
    """What AWS's models do not allow, and a proxy or a later version might send: no name, no error."""
    assert identity_center.names_in({member: wrong}, TARO) == ()


@pytest.mark.parametrize(
    "odd",
    [
        "t\n@example.com",
        "t\x00@example.com",
        "t\u200b@example.com",
        "\u202emoc.elpmaxe@t",
        "\u3000",
        "t" * 309 + "@example.com",
    ],
)
def test_a_name_that_is_not_seen_whole_is_none(odd: str) -> None:
    """It is not mended either: without what is odd it could be somebody else's."""
    record = {"UserName": odd, "Emails": mail(odd)}
    assert identity_center.names_in(record, TARO) == ()


def test_of_several_primary_addresses_none_is_believed() -> None:
    """Nobody says which is the user's."""
    record = {"UserName": "taro", "Emails": mail("a@example.com", "b@example.com")}
    assert identity_center.names_in(record, TARO) == ("taro",)


async def test_the_record_of_another_user_is_not_believed(scene: Scene, side: AwsSide) -> None:
    """The answer names whom it is about."""
    scene.aws.faults.rewrite(READING, record(UserId=HANAKO))
    assert await code_of(side) == "AnotherUser"


async def test_nothing_of_a_record_but_two_names_is_kept(scene: Scene, side: AwsSide) -> None:
    """Not the phone number, not the home address."""
    scene.aws.faults.rewrite(READING, record(Title="secret title", NickName="secret nickname"))
    await side.identities.names(TARO)
    kept = {name: getattr(side.identities, name) for name in vars(side.identities)}
    assert "secret" not in repr({name: dict(kept[name]) for name in ("_names", "_failing", "_stores", "_logged")})


# --- the store


@pytest.mark.parametrize(
    ("instances", "code"),
    [
        ([], "NoIdentityStore"),
        ([instance(STORE, owner=ACCOUNT, status="CREATE_FAILED")], "NoIdentityStore"),
        ([{"Status": "ACTIVE"}], "NoIdentityStore"),
        ([instance(STORE, owner=ACCOUNT), instance("d-0987654321", owner=ACCOUNT)], "SeveralIdentityStores"),
        ([instance(STORE, owner=ACCOUNT), {"Status": "ACTIVE"}], "SeveralIdentityStores"),
    ],
    ids=["none", "none that works", "one without a store", "two", "a nameless one beside it"],
)
async def test_one_store_must_be_in_sight(scene: Scene, side: AwsSide, instances: list[Any], code: str) -> None:
    """With none there is nobody to ask, and of several nobody knows which one an id is of: no record is read."""
    scene.aws.faults.rewrite(LISTING, lambda _: {"Instances": instances})
    assert (await code_of(side), count(scene, READING)) == (code, 0)


@pytest.mark.parametrize(
    "instances",
    [
        [instance(STORE, owner=ACCOUNT), instance("d-0987654321", owner=ACCOUNT, status="DELETE_IN_PROGRESS")],
        [instance(STORE, owner=ACCOUNT), instance(STORE, owner="444455556666")],
        [{"IdentityStoreId": STORE}],
    ],
    ids=["one on its way out", "one store of two instances", "no status told"],
)
async def test_what_is_one_store_is_used(scene: Scene, side: AwsSide, instances: list[Any]) -> None:
    """Instances that do not work do not count, nor do two of one store."""
    scene.aws.faults.rewrite(LISTING, lambda _: {"Instances": instances})
    assert await side.identities.names(TARO) == NAMES


async def test_instances_come_in_pages(scene: Scene, side: AwsSide) -> None:
    """A second page may hold the second store; pages that never end are given up."""
    second = instance("d-0987654321", owner=ACCOUNT)
    scene.aws.faults.rewrite(LISTING, lambda answer: {**answer, "NextToken": "more"}, times=1)
    scene.aws.faults.rewrite(LISTING, lambda answer: answer if "NextToken" in answer else {"Instances": [second]})
    assert await code_of(side) == "SeveralIdentityStores"
    scene.clock.move(seconds=identity_center.FAILED_SECONDS)
    scene.aws.faults.clear()
    scene.aws.faults.rewrite(LISTING, lambda answer: {**answer, "NextToken": "more"})
    assert await code_of(side) == "EndlessPages"
    assert [call.params for call in scene.aws.calls(LISTING)[:2]] == [{}, {"NextToken": "more"}]


# --- how long it is believed


async def test_a_record_is_believed_for_an_hour(scene: Scene, side: AwsSide) -> None:
    """Then store and record are read anew; who was renamed meanwhile has the new name."""
    await side.identities.names(TARO)
    scene.aws.faults.rewrite(READING, record(UserName="renamed"))
    scene.clock.move(seconds=identity_center.KEPT_SECONDS - 1)
    assert await side.identities.names(TARO) == NAMES
    scene.clock.move(seconds=1)
    assert await side.identities.names(TARO) == ("renamed", REQUESTER)
    assert (count(scene, LISTING), count(scene, READING)) == (2, 2)


async def test_a_user_whom_the_store_does_not_know_is_nobody_for_a_while(scene: Scene, side: AwsSide) -> None:
    """Nobody's id is no failure: asked for again after minutes, and of the store that is there by then."""
    assert (await side.identities.names(NOBODY), await side.identities.names(NOBODY)) == ((), ())
    assert (count(scene, LISTING), count(scene, READING)) == (1, 1)
    scene.clock.move(seconds=identity_center.UNKNOWN_SECONDS)
    assert await side.identities.names(NOBODY) == ()
    assert (count(scene, LISTING), count(scene, READING)) == (2, 2)


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [
        (LISTING, "AccessDeniedException", None),
        (READING, "AccessDeniedException", None),
        (READING, "InternalServerException", 500),
    ],
)
async def test_a_failure_stands_for_everybody_until_it_mends(
    scene: Scene, side: AwsSide, operation: str, code: str, status: int | None
) -> None:
    """The next user would fail alike, so nobody is asked for; half a minute later it is tried again, and heals."""
    scene.aws.faults.fail(operation, code, status=status, times=None)
    assert [await code_of(side, each) for each in (TARO, TARO, HANAKO)] == [code] * 3
    asked = count(scene, operation)
    assert asked == (2 if status else 1)  # what may come right is tried once more at once
    scene.aws.faults.clear()
    assert await code_of(side) == code
    scene.clock.move(seconds=identity_center.FAILED_SECONDS)
    assert await side.identities.names(TARO) == NAMES
    assert count(scene, operation) == asked + 1


async def test_throttling_is_told_as_such(scene: Scene, side: AwsSide) -> None:
    """AWS's word, after one more try."""
    scene.aws.faults.fail(READING, "ThrottlingException", times=None)
    assert await code_of(side) == "ThrottlingException"


async def test_one_id_that_is_refused_hinders_no_other_user(scene: Scene, side: AwsSide) -> None:
    """Of a user whom AWS will not tell of nothing is known; of the others everything."""
    scene.aws.faults.fail(READING, "ValidationException")
    assert await code_of(side) == "ValidationException"
    assert await side.identities.names(HANAKO)
    assert (await code_of(side), count(scene, READING)) == ("ValidationException", 2)


async def test_a_reply_that_is_lost_is_asked_for_again(scene: Scene, side: AwsSide) -> None:
    """Reading changes nothing, so once more does no harm."""
    scene.aws.faults.lose_reply(READING)
    assert await side.identities.names(TARO) == NAMES


async def test_a_slow_answer_delays_nothing(scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a name goes on after a moment; the answer is there later, and AWS was asked once."""
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 0.05)
    with scene.aws.faults.hold(READING):
        assert [await code_of(side) for _ in range(2)] == ["NotAnsweredYet"] * 2
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 30.0)
    assert await side.identities.names(TARO) == NAMES
    assert (count(scene, LISTING), count(scene, READING)) == (1, 1)


async def test_an_aws_that_never_answers_is_timed_out(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends by itself, and stands for a failure."""
    assert sdk._READ_SECONDS_OF["identitystore"] == sdk._READ_SECONDS_OF["sso-admin"] == 5.0
    monkeypatch.setattr(sdk, "_READ_SECONDS_OF", {"identitystore": 0.2})
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 30.0)
    with scene.aws.faults.hold(READING):
        assert await code_of(side) == "ReadTimeoutError"
        assert (await code_of(side, HANAKO), count(scene, READING)) == ("ReadTimeoutError", 1)


async def test_one_question_at_a_time(scene: Scene, side: AwsSide) -> None:
    """Many looks at once are one call after the other, and two for one user are one."""
    hold = scene.aws.faults.hold(READING, times=1)
    looks = [asyncio.create_task(side.identities.names(each)) for each in (TARO, HANAKO, TARO, NOBODY)]
    await asyncio.to_thread(hold.arrived.wait, 30.0)
    assert (count(scene, LISTING), count(scene, READING)) == (1, 1)
    hold.release()
    assert (await asyncio.gather(*looks))[0] == NAMES
    assert count(scene, READING) == 3


# --- the log


async def test_a_cause_is_logged_once_an_hour(scene: Scene, side: AwsSide) -> None:
    """Without the permission every look fails; the log says so with AWS's code, and no name."""
    scene.aws.faults.fail(READING, "AccessDeniedException", times=None)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await code_of(side)
            scene.clock.move(seconds=identity_center.FAILED_SECONDS)
        scene.clock.move(seconds=identity_center.LOGGED_SECONDS)
        await code_of(side)
    told = [line for line in lines if line["event"] == "identity_center_unreadable"]
    assert (
        told == [{"event": "identity_center_unreadable", "log_level": "warning", "code": "AccessDeniedException"}] * 2
    )
