"""Names that look alike: a name in the configuration names one person, however it is typed, and no look-alike.

Two names that are equal by `fold` (bot/text/names.py) may belong to two people. So such names only refuse. Names grant
something only if they are equal by `exact`.
"""

import unicodedata
from dataclasses import replace
from typing import Final

import pytest

from bot.domain.identity import Person
from bot.domain.rules.permission import Refusal
from bot.service.clicks.click import Answer
from tests.fakes.aws import ACCOUNT
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person, without_roster_fields
from tests.fakes.world import APPROVALS, World, code_of, current_configuration, new_world

USER_ID: Final = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
LOOK_ALIKES: Final = {
    "full width": "ｈａｎａｋｏ.ｓａｔｏ@example.com",
    "a full-width domain": "hanako.sato@ｅｘａｍｐｌｅ.com",
    "a full-width at sign": "hanako.sato＠example.com",
    "the Kelvin sign": "hana\u212ao.sato@example.com",
    "a long s": "hanako.\u017fato@example.com",
    "an invisible space": "hanako\u200b.sato@example.com",
    "a variation selector": "hanako.sato\ufe0f@example.com",
    "mathematical letters": "\U0001d421anako.sato@example.com",
    "a soft hyphen": "hanako.sa\u00adto@example.com",
    "a combining grapheme joiner": "hanako\u034f.sato@example.com",
    "a right-to-left override": "hanako.sato@\u202eexample.com",
    "a Hangul filler": "hanako.sato\u3164@example.com",
    "an invisible tag": "hanako.sato\U000e0061@example.com",
    "a letter in a circle": "\u24d7anako.sato@example.com",
    "an ideographic full stop": "hanako.sato@example\u3002com",
    "a dot at the end": "hanako.sato@example.com.",
}
"""Other spellings of HANAKO's address. Another person might have them."""


async def _click(world: World, who: Person, *, requester: str | None = None) -> Answer:
    """Let a person click Approve on a new request."""
    key = world.aws.add(requester=requester) if requester else world.aws.add()
    await world.shown(key)
    async with world.running():
        return await world.press(key, without_roster_fields(who))


@pytest.mark.parametrize(
    ("entry", "upn"),
    [
        ("HANAKO.sato@example.com", "hanako.SATO@example.com"),
        ("ｈａｎａｋｏ.ｓａｔｏ@example.com", "hanako.sato@example.com"),
        ("hanako.sato＠ｅｘａｍｐｌｅ．ｃｏｍ", "hanako.sato@example.com"),
        (unicodedata.normalize("NFD", "renée@example.com"), "renée@example.com"),
        ("renée@example.com", unicodedata.normalize("NFD", "Renée@example.com")),
        ("straße@example.com", "Straße@example.com"),
        ("ダイ@example.com", unicodedata.normalize("NFD", "ダイ@example.com")),
    ],
)
async def test_approvers_entry_admits_its_person_in_another_case_width_or_accent_encoding(entry: str, upn: str) -> None:
    """The entry may have full-width letters.

    Letter case and the encoding of accents may differ in the entry or in Teams.
    """
    approver = replace(HANAKO, upn=upn)
    world = new_world(replace(APPROVALS, approvers=(f"upn:{entry}",)), people=(approver, TARO_PERSON))
    answer = await _click(world, approver)
    assert (answer.refused, len(world.aws.signals)) == (False, 1)


@pytest.mark.parametrize("upn", LOOK_ALIKES.values(), ids=LOOK_ALIKES.keys())
async def test_look_alike_of_an_approver_may_not_decide(upn: str) -> None:
    """The approvers list Hanako's name. An account whose name looks similar is refused."""
    other = replace(person(31), upn=upn)
    world = new_world(replace(APPROVALS, approvers=(f"upn:{HANAKO.upn}",)), people=(HANAKO, TARO_PERSON, other))
    answer = await _click(world, other)
    assert (code_of(answer), world.aws.signals) == (Refusal.NOT_APPROVER, [])


async def test_approvers_entry_with_a_sharp_s_does_not_admit_a_name_with_ss() -> None:
    """If letter case is ignored, ß equals ss. Two people may have these names."""
    other = replace(person(31), upn="strasse@example.com")
    world = new_world(replace(APPROVALS, approvers=("upn:straße@example.com",)), people=(HANAKO, TARO_PERSON, other))
    assert code_of(await _click(world, other)) is Refusal.NOT_APPROVER


@pytest.mark.parametrize(
    ("entry", "upn"),
    [
        ("isil@example.com", "\u0131s\u0131l@example.com"),
        ("\u0131s\u0131l@example.com", "isil@example.com"),
        ("istanbul@example.com", "\u0130stanbul@example.com"),
        ("\u0130stanbul@example.com", "istanbul@example.com"),
        ("hanako.sato@example.com", "hanako.sato+ops@example.com"),
        ("hanako.sato+ops@example.com", "hanako.sato@example.com"),
        ("hanako.sato@example.com", "h\u0430nako.sato@example.com"),
        ("renee@example.com", "ren\u00e9e@example.com"),
        ("hanako.sato@b\u00fccher.example", "hanako.sato@bucher.example"),
    ],
)
async def test_only_the_listed_one_of_two_people_with_similar_names_may_decide(entry: str, upn: str) -> None:
    """Neither of them is the requester."""
    listed, other = replace(HANAKO, upn=entry), replace(person(31), upn=upn)
    world = new_world(replace(APPROVALS, approvers=(f"upn:{entry}",)), people=(listed, TARO_PERSON, other))
    assert (code_of(await _click(world, other)), world.aws.signals) == (Refusal.NOT_APPROVER, [])
    assert (await _click(world, listed)).refused is False


@pytest.mark.parametrize(
    ("record", "mail"),
    [
        ("\u0131ch\u0131ro.tanaka@example.com", "ichiro.tanaka@example.com"),
        ("\u0130CH\u0130RO.TANAKA@EXAMPLE.COM", "ichiro.tanaka@example.com"),
        ("ichiro.tanaka@example.com.", "ichiro.tanaka@example.com"),
        ("ichiro.tanaka@xn--bcher-kva.example", "ichiro.tanaka@b\u00fccher.example"),
        ("STRASSE@example.com", "stra\u00dfe@example.com"),
    ],
    ids=["dotless i", "dotted I", "a dot at the end", "the domain in ASCII", "sharp s"],
)
async def test_requester_whose_address_another_system_spells_differently_may_not_decide(record: str, mail: str) -> None:
    """An identity provider may change letter case by Turkish rules, or encode the domain.

    Even if an address that matches no Teams user identifies a requester, the person is refused as the requester.
    """
    ours = current_configuration(allow_unidentified=True)
    identity = replace(
        ours.value.identity,
        allow_unmatched=True,
        people_domains=frozenset({"example.com", "example.com.", "xn--bcher-kva.example"}),
    )
    ours.value = replace(ours.value, identity=identity)
    ichiro = replace(ICHIRO, upn="it@example.com", mail=mail)
    world = new_world(people=(HANAKO, ichiro, TARO_PERSON), configuration=ours)
    world.identities.records[USER_ID] = (record,)
    assert (code_of(await _click(world, ichiro, requester=USER_ID)), world.aws.signals) == (Refusal.OWN_REQUEST, [])


@pytest.mark.parametrize(
    "entry",
    ["hana\u212ao.sato@example.com", "upn:hanako.sato@example.com.", "h\u0430nako.sato@example.com", "hanako.sato"],
    ids=["the Kelvin sign", "a dot at the end", "a Cyrillic letter", "no domain"],
)
async def test_people_entry_for_a_look_alike_does_not_identify_the_person(entry: str) -> None:
    """An entry of [people] whose name is similar to Hanako's is no proof that she is the requester."""
    requester = f"arn:aws:iam::{ACCOUNT}:user/batch"
    ours = current_configuration()
    ours.value = replace(ours.value, identity=replace(ours.value.identity, people={requester: entry}))
    world = new_world(configuration=ours)
    answers = [await _click(world, each, requester=requester) for each in (HANAKO, ICHIRO)]
    assert ([each.refused for each in answers], world.aws.signals) == ([True, True], [])


@pytest.mark.parametrize("address", LOOK_ALIKES.values(), ids=LOOK_ALIKES.keys())
async def test_no_one_may_decide_if_the_requesters_address_looks_like_a_persons(address: str) -> None:
    """The Identity Center record has an address similar to Hanako's.

    She is refused as the requester, and others because the requester is not identified.
    """
    world = new_world(people=(HANAKO, ICHIRO, TARO_PERSON))
    world.identities.records[USER_ID] = (address,)
    for each, refusal in ((HANAKO, Refusal.OWN_REQUEST), (ICHIRO, Refusal.UNIDENTIFIED)):
        answer = await _click(world, each, requester=USER_ID)
        assert (code_of(answer), world.aws.signals) == (refusal, [])


async def test_no_one_may_decide_if_two_people_have_addresses_like_the_requesters() -> None:
    """Both are refused as the requester, and others because the requester is not identified."""
    twin = replace(person(31), mail=LOOK_ALIKES["full width"])
    world = new_world(people=(HANAKO, ICHIRO, TARO_PERSON, twin))
    requester = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{HANAKO.upn}"
    codes = [code_of(await _click(world, each, requester=requester)) for each in (HANAKO, twin, ICHIRO)]
    assert codes == [Refusal.OWN_REQUEST, Refusal.OWN_REQUEST, Refusal.UNIDENTIFIED]


@pytest.mark.parametrize(
    "requester",
    [
        f"arn:aws:iam::{ACCOUNT}:user/hanako.sato",
        f"arn:aws:iam::{ACCOUNT}:user/ops/HANAKO.Sato",
        f"arn:aws:sts::{ACCOUNT}:federated-user/hanako.sato",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/AnyRole/hanako.sato",
        USER_ID,
    ],
    ids=["IAM user", "IAM user in a path", "federated user", "session", "Identity Center user"],
)
async def test_person_whose_address_begins_with_the_requesters_name_may_not_decide(requester: str) -> None:
    """The requester `hanako.sato` may be the person with the address `hanako.sato@…`.

    Another approver may decide, because unidentified requesters are allowed.
    """
    world = new_world(configuration=current_configuration(allow_unidentified=True))
    world.identities.records[USER_ID] = ("hanako.sato",)
    assert code_of(await _click(world, HANAKO, requester=requester)) is Refusal.OWN_REQUEST
    assert world.aws.signals == []
    await _click(world, ICHIRO, requester=requester)
    assert [signal.session_name for signal in world.aws.signals] == [ICHIRO.session_name]
