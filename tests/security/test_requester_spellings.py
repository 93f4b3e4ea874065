"""Requesters never decide on their own requests, under any of these names in AWS and accounts in Teams.

Each name of the requester in AWS is combined with each of their accounts in Teams, in a channel that lists everyone.
A table of this file says which accounts are the requester's; the product's own comparison is not used.
"""

from dataclasses import replace
from typing import Final

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.rules.permission import Refusal
from bot.service.clicks.click import Verb
from tests.fakes.aws import ACCOUNT
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, without_roster_fields
from tests.fakes.world import APPROVALS, World, current_configuration, new_world

DECISIONS: Final = (Verb.APPROVE, Verb.REJECT)
SESSION: Final = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator"
SSO: Final = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Operators_0123456789abcdef"
IAM_USER: Final = f"arn:aws:iam::{ACCOUNT}:user/taro"
USER_ID: Final = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
BATCH: Final = f"{SESSION}/batch"
UNTRUSTED: Final = f"arn:aws:sts::{ACCOUNT}:assumed-role/AnyRole"

TARO: Final = replace(TARO_PERSON, upn="t.yamada@example.com", mail="taro.yamada@example.com")


def _account(number: int, **names: str | bool | None) -> Person:
    """Return another account with these fields, and with its own ids and addresses in the other fields."""
    identity = f"aaaaaaaa-0000-4000-8000-7{number:011d}"
    address = f"account{number}@example.com"
    plain = Person(identity, TARO.tenant_id, f"Account {number}", address, address, f"29:1-account-{number}")
    return replace(plain, **names)  # type: ignore[arg-type]  # names are fields of Person


ACCOUNTS: Final = {
    "the account itself": TARO,
    "an account with the same mail": _account(1, mail=TARO.mail),
    "an account with the mail in capitals": _account(2, mail="TARO.YAMADA@EXAMPLE.COM"),
    "an account with the mail between blanks": _account(3, mail="  taro.yamada@example.com "),
    "an account with the mail as its name": _account(4, upn=TARO.mail),
    "a guest account with that address in its home tenant": _account(
        5, upn="taro.yamada_example.com#EXT#@example.com", guest=True
    ),
    "an account with the same Teams id": _account(6, teams_id=TARO.teams_id),
    "an account with the mail in full width": _account(7, mail="ｔａｒｏ．ｙａｍａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
    "an account with an invisible character in the mail": _account(8, mail="taro.\u200byamada@example.com"),
}
"""The requester's accounts. Each has TARO's mail address or Teams id."""

REQUESTERS: Final = {
    "a session named by the mail": f"{SESSION}/taro.yamada@example.com",
    "a session named in another case": f"{SESSION}/Taro.Yamada@Example.COM",
    "a session of IAM Identity Center": f"{SSO}/taro.yamada@example.com",
    "an entry of [people], by object id": BATCH,
    "an entry of [people], by name": IAM_USER,
    "an entry of [people], by mail": f"{SESSION}/nightly",
    "an entry of [people], in full width": f"{SESSION}/weekly",
    "a user id of IAM Identity Center": USER_ID,
}
"""The requester's names in AWS that identify them."""

DOUBTFUL: Final = {
    "an entry of [people] for the session in another case": f"{SESSION}/NIGHTLY",
    "a user id whose record has the mail in full width": USER_ID.replace("9ab", "9ac"),
    "an IAM user with the mail as its name": f"arn:aws:iam::{ACCOUNT}:user/taro.yamada@example.com",
    "an IAM user in a path": f"arn:aws:iam::{ACCOUNT}:user/ops/tokyo/Taro.Yamada@example.com",
    "a federated user": f"arn:aws:sts::{ACCOUNT}:federated-user/taro.yamada@example.com",
    "a session whose name the caller chose": f"{UNTRUSTED}/taro.yamada@example.com",
    "a role's unique id": "AROA0123456789EXAMPLE:taro.yamada@example.com",
    "a role": f"arn:aws:iam::{ACCOUNT}:role/people/taro.yamada@example.com",
    "an ARN of a user of IAM Identity Center": "arn:aws:identitystore:::user/taro.yamada@example.com",
    "a session in GovCloud": f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/AnyRole/taro.yamada@example.com",
    "an IAM user of China, in a path": f"arn:aws-cn:iam::{ACCOUNT}:user/ops/taro.yamada@example.com",
    "a session of a role with its path": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b/AnyRole/taro.yamada@example.com",
    "a federated user's unique id": f"{ACCOUNT}:taro.yamada@example.com",
    "a session named with a final dot": f"{UNTRUSTED}/taro.yamada@example.com.",
    "an IAM user followed by a line end": f"arn:aws:iam::{ACCOUNT}:user/taro.yamada@example.com\n",
}
"""The requester's names in AWS that could be another person's too. They identify no one."""

RECORDS: Final = {
    USER_ID: ("taro", "taro.yamada@example.com"),
    USER_ID.replace("9ab", "9ac"): ("taro", "ｔａｒｏ.ｙａｍａｄａ@ｅｘａｍｐｌｅ.com"),
}
PEOPLE: Final = {
    BATCH: f"user:{TARO.object_id}",
    IAM_USER: f"upn:{TARO.upn}",
    f"{SESSION}/nightly": "taro.yamada@example.com",
    f"{SESSION}/weekly": "ｔａｒｏ．ｙａｍａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
}


def _world(*accounts: Person, allow_unidentified: bool = False) -> World:
    """Return a world whose channel lists everyone as a member, by id and by name."""
    everybody = (HANAKO, ICHIRO, *accounts)
    listed = [f"user:{each.object_id}" for each in everybody] + [f"upn:{each.upn}" for each in everybody]
    channel = replace(APPROVALS, approvers=("members", *listed))
    ours = current_configuration(channel, allow_unidentified=allow_unidentified)
    ours.value = replace(ours.value, identity=replace(ours.value.identity, people=PEOPLE))
    world = new_world(channel, people=everybody, configuration=ours)
    world.identities.records |= RECORDS
    return world


async def _posted_request(world: World, requester: str) -> RequestKey:
    key = world.aws.add(requester=requester)
    await world.shown(key)
    return key


@pytest.mark.parametrize("requester", (REQUESTERS | DOUBTFUL).values(), ids=(REQUESTERS | DOUBTFUL).keys())
async def test_requester_cannot_decide_their_own_request_under_any_of_their_accounts(requester: str) -> None:
    """No click sends a signal or claims a decision, even if unidentified requesters are allowed."""
    world = _world(*ACCOUNTS.values(), allow_unidentified=True)
    key = await _posted_request(world, requester)
    async with world.running():
        answers = [
            await world.press(key, without_roster_fields(account), verb)
            for account in ACCOUNTS.values()
            for verb in DECISIONS
        ]
    codes = [answer.notice.code if answer.notice else None for answer in answers]
    assert codes == [Refusal.OWN_REQUEST] * len(ACCOUNTS) * len(DECISIONS)
    assert (world.aws.signals, (await world.row(key)).decisions) == ([], ())


@pytest.mark.parametrize("requester", REQUESTERS.values(), ids=REQUESTERS.keys())
async def test_approver_who_is_not_the_requester_may_decide(requester: str) -> None:
    """Positive control: an approver who is not the requester may decide."""
    world = _world(TARO)
    key = await _posted_request(world, requester)
    async with world.running():
        await world.press(key, without_roster_fields(HANAKO))
    assert [signal.session_name for signal in world.aws.signals] == [HANAKO.session_name]


@pytest.mark.parametrize("requester", DOUBTFUL.values(), ids=DOUBTFUL.keys())
@pytest.mark.parametrize("allowed", [False, True], ids=["refuse", "allow"])
async def test_requester_name_that_several_people_may_have_identifies_no_one(requester: str, allowed: bool) -> None:
    """Another approver may decide only if unidentified requesters are allowed."""
    world = _world(TARO, allow_unidentified=allowed)
    key = await _posted_request(world, requester)
    async with world.running():
        answer = await world.press(key, without_roster_fields(HANAKO))
    assert (answer.refused, len(world.aws.signals)) == (not allowed, int(allowed))


async def test_mail_address_of_several_people_identifies_no_one() -> None:
    """If several people have the requester's mail address, no one may decide, even a person with another address."""
    world = _world(*ACCOUNTS.values())
    key = await _posted_request(world, REQUESTERS["a session named by the mail"])
    async with world.running():
        answer = await world.press(key, without_roster_fields(HANAKO))
    assert (answer.refused, world.aws.signals) == (True, [])


@pytest.mark.parametrize(
    "requester",
    [
        f"{UNTRUSTED}/{TARO.object_id}",
        f"{UNTRUSTED}/{TARO.object_id.upper()}",
        f"AROA0123456789EXAMPLE:{TARO.object_id}",
        f"arn:aws-us-gov:iam::{ACCOUNT}:user/{TARO.object_id}",
    ],
    ids=["session", "session in capitals", "unique id", "IAM user in GovCloud"],
)
async def test_person_whose_object_id_is_the_requesters_name_in_aws_may_not_decide(requester: str) -> None:
    """Federation from Microsoft Entra may name sessions by object id.

    Another approver may decide, because unidentified requesters are allowed.
    """
    world = _world(TARO, allow_unidentified=True)
    key = await _posted_request(world, requester)
    async with world.running():
        answer = await world.press(key, without_roster_fields(TARO))
        assert (answer.notice and answer.notice.code, world.aws.signals) == (Refusal.OWN_REQUEST, [])
        await world.press(key, without_roster_fields(HANAKO))
    assert [signal.session_name for signal in world.aws.signals] == [HANAKO.session_name]


@pytest.mark.parametrize("requester", [f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws-cn:iam::{ACCOUNT}:root", ACCOUNT, ""])
@pytest.mark.parametrize("allowed", [False, True], ids=["refuse", "allow"])
async def test_requester_without_a_name_blocks_decisions_unless_unidentified_requesters_are_allowed(
    requester: str, allowed: bool
) -> None:
    """The root user, a bare account id and an empty text name no person.

    With "allow", the card has buttons, and says that the requester didn’t check whether the approver is the requester.
    """
    world = _world(TARO, allow_unidentified=allowed)
    key = await _posted_request(world, requester)
    (card,) = world.chat.of("post")
    assert (card.buttons, "didn’t check whether the approver is the requester" in card.card) == (allowed, allowed)
    async with world.running():
        answer = await world.press(key, without_roster_fields(HANAKO))
    assert (answer.refused, len(world.aws.signals)) == (not allowed, int(allowed))


async def test_address_with_a_plus_part_does_not_identify_the_person_with_the_plain_address() -> None:
    """The session `taro.yamada+cli@…` of a trusted role identifies no one.

    So neither Taro nor another approver may decide.
    """
    world = _world(TARO)
    key = await _posted_request(world, f"{SESSION}/taro.yamada+cli@example.com")
    async with world.running():
        answers = [await world.press(key, without_roster_fields(each)) for each in (TARO, HANAKO)]
    assert ([each.refused for each in answers], world.aws.signals) == ([True, True], [])
