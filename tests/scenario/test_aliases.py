"""Requesters whose address matches no Teams user: it could be an alias of an approver, who would decide their own request.

Microsoft Entra users can have several addresses, and a roster shows only two of them.
"""

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.rules.permission import Refusal
from bot.service.clicks.click import Answer, Verb
from tests.fakes.aws import ACCOUNT
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, without_roster_fields
from tests.fakes.world import World, code_of, current_configuration, new_world

ALIAS = "h.sato@example.com"  # delivered to HANAKO; Teams does not show it
USER_ID = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
BATCH = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/batch"
REQUESTERS = {
    "Identity Center record": USER_ID,
    "session name": f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{ALIAS}",
    "session name of Identity Center": f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/{ALIAS}",
    "entry of [people]": BATCH,
}
everyone = pytest.mark.parametrize("requester", REQUESTERS.values(), ids=REQUESTERS.keys())


def _world(**identity: Any) -> World:
    ours = current_configuration()
    rules = {"people_domains": frozenset({"example.com"}), "people": {BATCH: ALIAS}} | identity
    ours.value = replace(ours.value, identity=replace(ours.value.identity, **rules))
    world = new_world(configuration=ours)
    world.identities.records[USER_ID] = ("hsato", ALIAS)
    return world


async def _posted(world: World, requester: str) -> tuple[RequestKey, Record]:
    key = world.aws.add(requester=requester)
    return key, await world.shown(key)


async def _click(world: World, key: RequestKey, who: Any = HANAKO) -> Answer:
    async with world.running():
        return await world.press(key, without_roster_fields(who))


@everyone
async def test_clicks_on_a_request_whose_requester_matches_no_teams_user_are_refused(requester: str) -> None:
    """No Teams user has the requester's address, so each approver could be the requester.

    By default, the card has no buttons and says why.
    """
    world = _world()
    key, _ = await _posted(world, requester)
    for who in (HANAKO, ICHIRO):
        answer = await _click(world, key, who)
        assert (code_of(answer), world.aws.signals) == (Refusal.UNMATCHED, [])
    assert (world.aws.signals, (await world.row(key)).decisions) == ([], ())
    (card,) = world.chat.of("post")
    assert (card.buttons, ALIAS in card.card, "no Teams user" in card.card) == (False, True, True)


@everyone
async def test_card_says_that_an_allowed_unmatched_requester_was_not_checked(requester: str) -> None:
    """With `unmatched_requesters = "allow"`, an address in people_domains or [people] identifies the requester.

    The card has buttons, and an approver's click sends a signal.
    """
    world = _world(allow_unmatched=True)
    key, row = await _posted(world, requester)
    assert row.requester
    assert row.requester.identified
    (card,) = world.chat.of("post")
    assert (card.buttons, ALIAS in card.card, "didn’t check whether it is another address" in card.card) == (
        True,
        True,
        True,
    )
    await _click(world, key, ICHIRO)
    assert [signal.session_name for signal in world.aws.signals] == [ICHIRO.session_name]


@pytest.mark.parametrize("name", ["Identity Center record", "session name"])
async def test_click_is_refused_if_an_unmatched_requesters_address_is_not_in_people_domains(name: str) -> None:
    """The setting `unmatched_requesters` is "allow", but it does not apply to such an address.

    The card has no buttons. This holds for Identity Center records and for session names.
    """
    world = _world(allow_unmatched=True, people_domains=frozenset({"corp.example.net"}))
    key, _ = await _posted(world, REQUESTERS[name])
    assert code_of(await _click(world, key, ICHIRO)) is Refusal.UNMATCHED
    assert (world.aws.signals, world.chat.of("post")[0].buttons) == ([], False)


async def test_requester_is_identified_once_a_person_with_the_requesters_address_joins_the_channel() -> None:
    """The card gets its buttons, and the person who joined cannot decide: it is their own request."""
    world = _world()
    key, _ = await _posted(world, REQUESTERS["session name"])
    assert not world.chat.of("post")[0].buttons
    newcomer = replace(TARO_PERSON, object_id="aaaaaaaa-0000-4000-8000-000000000077", mail=ALIAS, upn="hs@example.com")
    world.people.people.append(newcomer)
    row = await world.shown(key)
    assert row.requester
    assert (row.requester.identified, row.requester.person) == (True, newcomer)
    assert world.chat.of("post")[0].buttons
    assert code_of(await _click(world, key, newcomer)) is Refusal.OWN_REQUEST


async def test_people_entry_with_an_object_id_identifies_a_requester_who_is_in_no_roster() -> None:
    """The table [people] maps the requester's session to an object id. No member of the channel has this object id.

    An approver's click sends a signal.
    """
    gone = "cccccccc-0000-4000-8000-000000000001"
    world = _world(people={BATCH: f"user:{gone}"})
    key, row = await _posted(world, BATCH)
    assert row.requester
    assert (row.requester.identified, row.requester.person, row.requester.unmatched) == (True, None, "")
    await _click(world, key)
    assert [signal.session_name for signal in world.aws.signals] == [HANAKO.session_name]


async def test_click_is_refused_if_an_earlier_version_stored_an_alias_as_an_identified_requester() -> None:
    """The row says that the requester is identified, but no Teams user has the address.

    By the current rules the requester is unmatched, and the click sends no signal.
    """
    world = _world()
    key, row = await _posted(world, REQUESTERS["Identity Center record"])
    assert row.requester
    stored = replace(row.requester, identified=True, unmatched="")
    await world.rows.apply(key, lambda each: replace(each, requester=stored))
    assert code_of(await _click(world, key)) is Refusal.UNMATCHED
    assert world.aws.signals == []


async def test_upgrade_of_the_bot_does_not_identify_matched_requesters_again() -> None:
    """A row stores the fingerprint of the rules that identified its requester.

    With the default of `unmatched_requesters`, it is the same as in versions without that setting, so neither a refresh
    nor a click observes the request again. With "allow", the fingerprint differs.
    """
    world = _world()
    rules = world.configuration.value.identity
    former = [sorted(rules.trusted_roles), sorted(rules.people_domains), sorted((rules.people or {}).items())]
    stored = hashlib.sha256(json.dumps(former).encode()).hexdigest()[:16]
    key, row = await _posted(world, f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/{TARO_PERSON.upn}")
    assert row.requester
    requester = replace(row.requester, rules=stored)
    await world.rows.apply(key, lambda each: replace(each, requester=requester))
    reads = world.aws.count("observe")
    assert (await world.press(key, HANAKO, Verb.REFRESH)).refused is False
    answering = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(3)
    assert (await answering).refused is False
    assert (world.aws.count("observe"), len(world.aws.effects)) == (reads, 1)
    assert replace(rules, allow_unmatched=True).mark != stored


@pytest.mark.parametrize("allowed", [False, True], ids=["refuse", "allow"])
@pytest.mark.parametrize(
    "address",
    [
        "h.sato@example.com@elsewhere.example",
        "h.sato@ｅｘａｍｐｌｅ.com",
        "h.sato@sub.example.com",
        "h.sato@example.com.",
        "@example.com",
        "example.com",
    ],
)
async def test_address_outside_people_domains_identifies_no_one(address: str, allowed: bool) -> None:
    """A second @, a look-alike domain, a subdomain, a final dot, a missing name or a missing @: clicks are refused.

    This holds for both values of `unmatched_requesters`.
    """
    world = _world(allow_unmatched=allowed)
    world.identities.records[USER_ID] = (address,)
    key, row = await _posted(world, USER_ID)
    assert row.requester
    assert not row.requester.identified
    answers = [await _click(world, key, who) for who in (HANAKO, ICHIRO)]
    assert ([each.refused for each in answers], world.aws.signals) == ([True, True], [])


async def test_requester_whose_alias_is_known_only_from_a_personal_chat_cannot_decide() -> None:
    """The personal chat has the address of Hanako's request; the channel's roster has another address of hers."""
    world = _world(allow_unmatched=True)
    key, _ = await _posted(world, REQUESTERS["session name"])
    world.people.by_chat.append(replace(HANAKO, mail=ALIAS))
    await world.shown(key)
    assert code_of(await _click(world, key, HANAKO)) is Refusal.OWN_REQUEST
    assert world.aws.signals == []


@everyone
async def test_changing_unmatched_requesters_to_refuse_blocks_a_waiting_request(requester: str) -> None:
    """The card was posted with "allow". Once the file says "refuse", a click is refused, and the buttons disappear."""
    world = _world(allow_unmatched=True)
    key, _ = await _posted(world, requester)
    assert world.chat.of("post")[0].buttons
    strict = replace(world.configuration.value.identity, allow_unmatched=False)
    world.configuration.replace(replace(world.configuration.value, identity=strict))
    assert code_of(await _click(world, key, ICHIRO)) is Refusal.UNMATCHED
    await world.shown(key)
    assert (world.aws.signals, world.chat.of("post")[0].buttons) == ([], False)
