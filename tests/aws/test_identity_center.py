"""Names of IAM Identity Center users, read over real HTTP. Ambiguous or invisible text is not used."""

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
LIMITS = sdk._READ_SECONDS_OF  # `patience` replaces it during the tests

pytestmark = pytest.mark.usefixtures("patience")
scene, side, patience = gateway.scene, gateway.side, gateway.patience


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """Run one sandbox with two Identity Center users for all tests of this file."""
    with staged(identity_center_users={REQUESTER: TARO, "hanako.sato@example.com": HANAKO}) as scene:
        yield scene


def count(scene: Scene, operation: str) -> int:
    return len(scene.aws.calls(operation))


async def code_of(side: AwsSide, user_id: str = TARO) -> str:
    """Return the code of the error with which a record cannot be read."""
    with pytest.raises(AwsUnavailable) as failed:
        await side.identities.names(user_id)
    return failed.value.code


def record(**changed: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that changes members of a record. A member whose new value is None is removed."""

    def rewrite(answer: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**answer, **changed}.items() if value is not None}

    return rewrite


def mail(*addresses: str, **more: object) -> list[dict[str, object]]:
    return [{"Value": each, "Primary": True, **more} for each in addresses]


# --- what is read


async def test_user_name_and_primary_address_of_a_user_are_read(scene: Scene, side: AwsSide) -> None:
    """They are read with the bot's credentials in its Region. The store id is read once."""
    assert await side.identities.names(TARO) == NAMES
    assert await side.identities.names(HANAKO) == ("hanako.sato@example.com", "hanako.sato@example.com")
    calls = [*scene.aws.calls(LISTING), *scene.aws.calls(READING)]
    assert [call.operation for call in calls] == [LISTING, READING, READING]
    assert {(call.region, call.caller.split("/")[1]) for call in calls} == {(REGION, "NodeAccessBot")}
    assert [call.params["IdentityStoreId"] for call in calls[1:]] == [STORE, STORE]


async def test_identity_center_id_is_the_requester_if_the_ops_item_has_no_arn(scene: Scene, side: AwsSide) -> None:
    """The user's record has the names."""
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


async def test_lookups_of_identity_center_users_are_rate_limited(scene: Scene) -> None:
    """The whole organization shares the quota, so lookups of several users wait for it."""
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
async def test_usable_user_name_and_primary_address_are_the_names_of_a_user(
    scene: Scene, side: AwsSide, changed: dict[str, object], expected: tuple[str, ...]
) -> None:
    """Blanks around an address are removed. A name that is too long or has invisible characters is left out."""
    scene.aws.faults.rewrite(READING, record(**changed))
    assert await side.identities.names(TARO) == expected


@pytest.mark.parametrize("wrong", [7, True, [], {"a": "b"}, "", [["x"]], [7], [{"Value": 7, "Primary": True}]])
@pytest.mark.parametrize("member", ["UserName", "Emails"])
def test_malformed_members_of_a_user_record_give_no_names(member: str, wrong: object) -> None:
    """Members of a type that AWS's models do not allow give no name and no error."""
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
def test_user_name_or_address_that_is_too_long_or_has_invisible_characters_is_not_used(odd: str) -> None:
    """Such a name is not shortened or cleaned, because the result could be another user's name."""
    record = {"UserName": odd, "Emails": mail(odd)}
    assert identity_center.names_in(record, TARO) == ()


def test_no_address_of_a_user_with_several_primary_addresses_is_used() -> None:
    """The record does not show which of them is the right one."""
    record = {"UserName": "taro", "Emails": mail("a@example.com", "b@example.com")}
    assert identity_center.names_in(record, TARO) == ("taro",)


async def test_record_with_another_user_id_than_requested_raises_an_error(scene: Scene, side: AwsSide) -> None:
    """The code is AnotherUser."""
    scene.aws.faults.rewrite(READING, record(UserId=HANAKO))
    assert await code_of(side) == "AnotherUser"


async def test_only_two_names_of_a_user_record_are_kept(scene: Scene, side: AwsSide) -> None:
    """Other members of the record, such as title and nickname, are not kept."""
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
    ids=["none", "none active", "one without a store", "two", "two, one without a store"],
)
async def test_no_record_is_read_unless_exactly_one_identity_store_is_visible(
    scene: Scene, side: AwsSide, instances: list[Any], code: str
) -> None:
    """With no store or several stores no record is read, because an id may exist in each."""
    scene.aws.faults.rewrite(LISTING, lambda _: {"Instances": instances})
    assert (await code_of(side), count(scene, READING)) == (code, 0)


@pytest.mark.parametrize(
    "instances",
    [
        [instance(STORE, owner=ACCOUNT), instance("d-0987654321", owner=ACCOUNT, status="DELETE_IN_PROGRESS")],
        [instance(STORE, owner=ACCOUNT), instance(STORE, owner="444455556666")],
        [{"IdentityStoreId": STORE}],
    ],
    ids=["one is being deleted", "one store of two instances", "no status"],
)
async def test_only_identity_store_is_used_although_other_instances_exist(
    scene: Scene, side: AwsSide, instances: list[Any]
) -> None:
    """An inactive instance, or a second instance of the same store, makes no difference.

    An instance may have no status.
    """
    scene.aws.faults.rewrite(LISTING, lambda _: {"Instances": instances})
    assert await side.identities.names(TARO) == NAMES


async def test_second_page_of_identity_center_instances_is_read_and_endless_pages_fail(
    scene: Scene, side: AwsSide
) -> None:
    """The second page has a second store."""
    second = instance("d-0987654321", owner=ACCOUNT)
    scene.aws.faults.rewrite(LISTING, lambda answer: {**answer, "NextToken": "more"}, times=1)
    scene.aws.faults.rewrite(LISTING, lambda answer: answer if "NextToken" in answer else {"Instances": [second]})
    assert await code_of(side) == "SeveralIdentityStores"
    scene.clock.move(seconds=identity_center.FAILED_SECONDS)
    scene.aws.faults.clear()
    scene.aws.faults.rewrite(LISTING, lambda answer: {**answer, "NextToken": "more"})
    assert await code_of(side) == "EndlessPages"
    assert [call.params for call in scene.aws.calls(LISTING)[:2]] == [{}, {"NextToken": "more"}]


# --- caching


async def test_record_of_a_user_is_cached_for_an_hour(scene: Scene, side: AwsSide) -> None:
    """After an hour store and record are read again, and a renamed user has the new name."""
    await side.identities.names(TARO)
    scene.aws.faults.rewrite(READING, record(UserName="renamed"))
    scene.clock.move(seconds=identity_center.KEPT_SECONDS - 1)
    assert await side.identities.names(TARO) == NAMES
    scene.clock.move(seconds=1)
    assert await side.identities.names(TARO) == ("renamed", REQUESTER)
    assert (count(scene, LISTING), count(scene, READING)) == (2, 2)


async def test_absence_of_a_user_is_cached_for_minutes(scene: Scene, side: AwsSide) -> None:
    """An unknown id is not a failure. After UNKNOWN_SECONDS, store and record are read again."""
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
async def test_failed_lookup_is_not_repeated_for_any_user_for_half_a_minute(
    scene: Scene, side: AwsSide, operation: str, code: str, status: int | None
) -> None:
    """The cause, such as a missing permission, concerns all users. After FAILED_SECONDS, AWS is called again."""
    scene.aws.faults.fail(operation, code, status=status, times=None)
    assert [await code_of(side, each) for each in (TARO, TARO, HANAKO)] == [code] * 3
    asked = count(scene, operation)
    assert asked == (2 if status else 1)  # server errors are repeated once
    scene.aws.faults.clear()
    assert await code_of(side) == code
    scene.clock.move(seconds=identity_center.FAILED_SECONDS)
    assert await side.identities.names(TARO) == NAMES
    assert count(scene, operation) == asked + 1


async def test_throttled_lookup_raises_an_error_with_the_code_of_aws(scene: Scene, side: AwsSide) -> None:
    """The code is ThrottlingException."""
    scene.aws.faults.fail(READING, "ThrottlingException", times=None)
    assert await code_of(side) == "ThrottlingException"


async def test_refused_user_id_does_not_affect_lookups_of_other_users(scene: Scene, side: AwsSide) -> None:
    """Another user is read as usual. The refused id is not requested a second time."""
    scene.aws.faults.fail(READING, "ValidationException")
    assert await code_of(side) == "ValidationException"
    assert await side.identities.names(HANAKO)
    assert (await code_of(side), count(scene, READING)) == ("ValidationException", 2)


async def test_read_of_a_user_with_a_lost_reply_is_repeated(scene: Scene, side: AwsSide) -> None:
    """Reading changes nothing, so it may be repeated."""
    scene.aws.faults.lose_reply(READING)
    assert await side.identities.names(TARO) == NAMES


async def test_slow_answer_of_identity_center_does_not_delay_callers(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers get NotAnsweredYet after a moment. The answer is cached later, and AWS is called once."""
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 0.05)
    with scene.aws.faults.hold(READING):
        assert [await code_of(side) for _ in range(2)] == ["NotAnsweredYet"] * 2
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 30.0)
    assert await side.identities.names(TARO) == NAMES
    assert (count(scene, LISTING), count(scene, READING)) == (1, 1)


async def test_read_of_a_user_without_an_answer_times_out_for_all_users(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends with a time-out, and the same error is returned for another user without a call."""
    assert LIMITS["identitystore"] == LIMITS["sso-admin"] == 5.0
    monkeypatch.setattr(sdk, "_READ_SECONDS_OF", {"identitystore": 0.2})
    monkeypatch.setattr(identity_center, "PROMPT_SECONDS", 30.0)
    with scene.aws.faults.hold(READING):
        assert await code_of(side) == "ReadTimeoutError"
        assert (await code_of(side, HANAKO), count(scene, READING)) == ("ReadTimeoutError", 1)


async def test_simultaneous_lookups_run_one_after_the_other_and_once_for_each_user(scene: Scene, side: AwsSide) -> None:
    """Many lookups run one after the other. Two simultaneous lookups of the same user make one call."""
    hold = scene.aws.faults.hold(READING, times=1)
    looks = [asyncio.create_task(side.identities.names(each)) for each in (TARO, HANAKO, TARO, NOBODY)]
    await asyncio.to_thread(hold.arrived.wait, 30.0)
    assert (count(scene, LISTING), count(scene, READING)) == (1, 1)
    hold.release()
    assert (await asyncio.gather(*looks))[0] == NAMES
    assert count(scene, READING) == 3


# --- the log


async def test_code_of_failed_lookups_is_logged_once_an_hour(scene: Scene, side: AwsSide) -> None:
    """Without the permission every lookup fails; the log has AWS's code, and no name."""
    scene.aws.faults.fail(READING, "AccessDeniedException", times=None)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await code_of(side)
            scene.clock.move(seconds=identity_center.FAILED_SECONDS)
        scene.clock.move(seconds=identity_center.LOGGED_SECONDS)
        await code_of(side)
    lines_of_event = [line for line in lines if line["event"] == "identity_center_unreadable"]
    assert (
        lines_of_event
        == [{"event": "identity_center_unreadable", "log_level": "warning", "code": "AccessDeniedException"}] * 2
    )
