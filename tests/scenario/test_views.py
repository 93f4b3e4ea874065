"""Per-person views of a card: who sees what, in which language, and that a refresh changes nothing."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from bot.concurrency.turns import AT_ONCE
from bot.domain.identity import Person
from bot.domain.request import RequestKey, Verdict
from bot.domain.shown.surfaces import desired
from bot.domain.shown.viewers import MOST_VIEWERS
from bot.domain.shown.views import DirectView, NoticeCode
from bot.service.approver_groups import ApproverGroups
from bot.service.clicks.click import Click, Verb
from bot.service.deliver.mentioning import Mentioning
from tests.fakes.card_text import nodes, shown, words
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT, person
from tests.fakes.clock import ManualClock
from tests.fakes.people import FOREIGN_TENANT_ID
from tests.fakes.store import PORT, MemoryStore
from tests.fakes.work import function_calls_during
from tests.fakes.world import APPROVALS, World, code_of, new_world

Card = Any
BY_ID = replace(APPROVALS, approvers=(f"user:{HANAKO.object_id}",))
DECIDING = {"approve", "reject", "reviewing"}
OWN = {words("card_line.own_in_chat"), words("card_line.own_alone")}


def asked(world: World, key: RequestKey, who: Person, **changes: Any) -> Click:
    """Return an automatic refresh of the request's card."""
    click = replace(world.pressed(key, who, Verb.REFRESH), manual=False)
    return replace(click, **changes)


async def seen(world: World, key: RequestKey, who: Person, **changes: Any) -> Card:
    """Return what a person's client shows after an automatic refresh."""
    return await world.click_handler.refresh(asked(world, key, who, **changes))


def verbs(card: Card) -> set[str]:
    """Return the verbs of the card's buttons."""
    return {each["verb"] for each in nodes(card.get("body")) if each.get("type") == "Action.Execute"}


def base_of(world: World) -> Card:
    """Return the first card of the channel as Teams has it."""
    return world.chat.of("post")[0].versions[-1].card


def messages(world: World) -> int:
    """Return how many messages the bot posted, each update included."""
    return sum(len(each.versions) for each in world.chat.sent.values())


def calls_of(world: World) -> tuple[int, ...]:
    """Return how often the bot has called AWS, and sent to Teams or read people and groups there."""
    people = world.people
    return len(world.aws.calls), messages(world), people.asked, people.asked_known, world.groups.asked


def is_base(world: World, card: Card) -> bool:
    """Return whether the card is the channel's card; only its list of viewers may differ."""
    return {**card, "refresh": None} == {**base_of(world), "refresh": None}


async def test_approver_sees_buttons_the_requester_words_and_a_reader_neither() -> None:
    """The requester is sent to the chat with the bot, which has a message about the request."""
    world = new_world(BY_ID)
    key = await world.posted()
    assert verbs(await seen(world, key, HANAKO)) == DECIDING
    for who, own in ((ICHIRO, set()), (TARO_PERSON, {words("card_line.own_in_chat")})):
        card = await seen(world, key, who)
        assert verbs(card) == set()
        assert OWN & set(shown(card).splitlines()) == own
        assert verbs(base_of(world)) == DECIDING  # clients that do not refresh can still decide


async def test_requester_who_has_no_message_is_not_sent_to_the_chat() -> None:
    """There is no chat with the bot that could show the request."""
    world = new_world(BY_ID)
    key = await world.posted()
    await world.rows.apply(key, lambda row: replace(row, surfaces=row.cards))
    card = await seen(world, key, TARO_PERSON)
    assert OWN & set(shown(card).splitlines()) == {words("card_line.own_alone")}


async def test_reader_sees_no_revoke_on_the_decided_card() -> None:
    """The approver does."""
    world = new_world(BY_ID)
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(2)
    step = {"step": "Level1"}
    assert verbs(await seen(world, key, HANAKO, **step)) == {"revoke"}
    assert verbs(await seen(world, key, ICHIRO, **step)) == verbs(await seen(world, key, TARO_PERSON, **step)) == set()


@pytest.mark.parametrize(("locale", "expected"), [("ja", "ja"), ("en", "en"), (None, "ja")])
async def test_each_person_sees_the_card_in_their_own_language(locale: str | None, expected: str) -> None:
    """Without a language that the bot has, in the channel's."""
    world = new_world(replace(APPROVALS, locale="ja"))
    key = await world.posted()
    assert (await seen(world, key, HANAKO, locale=locale))["lang"] == expected
    assert base_of(world)["lang"] == "ja"


async def test_view_names_the_people_who_are_asked_to_decide_as_the_channels_card_does() -> None:
    """The card in the channel mentions Ichiro. The views mention no one again."""
    world = new_world(replace(APPROVALS, mention=(f"user:{ICHIRO.object_id}", "user:gone")))
    key = await world.posted()
    line = f"Please decide: {ICHIRO.name}"
    assert f"Please decide: <at>{ICHIRO.name}</at>" in shown(base_of(world)).splitlines()
    for who in (HANAKO, ICHIRO, TARO_PERSON):
        card = await seen(world, key, who)
        assert line in shown(card).splitlines()
        assert not card.get("msteams", {}).get("entities")


async def test_view_is_the_channels_card_without_a_current_roster() -> None:
    """Also in the channel's language. No roster is read for a refresh."""
    world = new_world(replace(BY_ID, locale="ja"))
    key = await world.posted()
    world.people.cold = True
    before = (world.people.asked, world.people.asked_known)
    for who in (HANAKO, ICHIRO, TARO_PERSON):
        assert is_base(world, await seen(world, key, who, locale="en"))
    assert (world.people.asked, world.people.asked_known) == before


@pytest.mark.parametrize(
    "who",
    [
        person(50),
        replace(HANAKO, guest=True),
        replace(HANAKO, tenant_id=FOREIGN_TENANT_ID),
        replace(HANAKO, tenant_id=""),
        replace(TARO_PERSON, object_id=""),
    ],
    ids=["stranger", "guest", "another tenant", "no tenant", "no object id"],
)
async def test_person_who_is_not_certainly_a_member_sees_the_channels_card(who: Person) -> None:
    """In the channel's language."""
    world = new_world(replace(BY_ID, locale="ja"))
    key = await world.posted()
    assert is_base(world, await seen(world, key, who, locale="en"))


@pytest.mark.parametrize(
    "forged",
    [
        {"step": "Level9"},
        {"activity_id": "1001"},
        {"activity_id": "9999"},
        {"activity_id": None},
    ],
    ids=["step", "message of another kind", "unknown message", "no message"],
)
async def test_forged_refresh_shows_no_more_than_the_channels_card(forged: dict[str, Any]) -> None:
    """Also to an approver and to the requester."""
    world = new_world(replace(BY_ID, locale="ja"))
    key = await world.posted()
    for who in (HANAKO, TARO_PERSON):
        assert is_base(world, await seen(world, key, who, locale="en", **forged))


async def test_refresh_that_comes_before_the_id_of_the_card_is_stored_shows_the_persons_view(world: World) -> None:
    """Teams shows a new card to people who have the channel open before it answers the bot."""
    key = world.aws.add()
    world.chat.gates["post"] = asyncio.Event()
    posting = asyncio.create_task(world.shown(key))
    await world.chat.arrived["post"].wait()
    assert verbs(await seen(world, key, TARO_PERSON, activity_id="1000")) == set()
    world.chat.gates["post"].set()
    await posting
    assert verbs(base_of(world)) == DECIDING


@pytest.mark.parametrize(
    "forged",
    [
        {"conversation": "19:other@thread.tacv2;messageid=1000"},
        {"conversation": f"a:{TARO_PERSON.object_id}", "personal": True},
        {"request": "111122223333/ap-northeast-1/oi-00000000000f"},
        {"request": "999988887777/ap-northeast-1/oi-000000000001"},
        {"request": "nonsense"},
    ],
    ids=["other channel", "personal chat", "unknown request", "other account", "no request"],
)
async def test_forged_refresh_from_elsewhere_shows_nothing(world: World, forged: dict[str, Any]) -> None:
    """Nothing is adopted or stored either."""
    key = await world.posted()
    assert isinstance(world.store, MemoryStore)
    before = dict(world.store.tables.records)
    for who in (HANAKO, TARO_PERSON):
        assert await seen(world, key, who, **forged) is None
    assert world.store.tables.records == before


async def test_refresh_for_which_teams_names_no_trigger_shows_the_channels_card(world: World) -> None:
    """A refresh that the person chose in the menu shows the person's view."""
    key = await world.posted()
    click = world.pressed(key, TARO_PERSON, Verb.REFRESH)
    unknown = (await world.click_handler.click(replace(click, manual=False))).card
    chosen = (await world.click_handler.click(click)).card
    assert (verbs(unknown), verbs(chosen)) == (DECIDING, set())


class Recorded(MemoryStore):
    """A store that records the calls of its port."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in PORT:
            self.called.append(name)
        return super().__getattribute__(name)


async def test_refresh_writes_nothing_and_is_not_in_the_audit_trail() -> None:
    """It reads one row: no card is adopted, and neither AWS nor Teams is called, also if the channel lists a group."""
    store = Recorded()
    world = new_world(replace(BY_ID, approvers=(*BY_ID.approvers, "group:g")), store=store)
    key = await world.posted()
    row, before = await world.row(key), calls_of(world)
    store.called.clear()
    for who in (HANAKO, ICHIRO, TARO_PERSON, person(50)):
        await seen(world, key, who)
        await seen(world, key, who, activity_id="7777")
    await world.click_handler.drain()
    assert store.called == ["load"] * 8
    assert await world.row(key) == row
    assert calls_of(world) == before
    assert await world.store.audit(world.clock.now().replace(year=2000)) == []
    assert world.registry.get_sample_value("node_access_refreshes_total", {"outcome": "approver"}) == 2
    assert world.registry.get_sample_value("node_access_clicks_total", {"verb": "refresh", "outcome": "shown"}) is None


async def test_views_of_two_people_who_refresh_at_once_are_their_own() -> None:
    """Both are answered from one row, each with the person's own buttons, words and language."""
    world = new_world(BY_ID)
    key = await world.posted()
    people = [HANAKO, TARO_PERSON, ICHIRO] * 20
    cards = await asyncio.gather(
        *(seen(world, key, who, locale="ja" if who is TARO_PERSON else "en") for who in people)
    )
    for who, card in zip(people, cards, strict=True):
        assert verbs(card) == (DECIDING if who is HANAKO else set())
        assert card["lang"] == ("ja" if who is TARO_PERSON else "en")
        assert card["refresh"]["userIds"] == [who.teams_id]


async def test_answers_to_two_people_on_one_version_of_the_row_show_only_their_own_words() -> None:
    """What one typed is neither on the other's card nor on later ones, and each refreshes only their own view."""
    world = new_world(BY_ID)
    key = await world.posted()
    version, typed = (await world.row(key)).version, {person(50): "words of the first", ICHIRO: "words of the second"}
    answers = await asyncio.gather(*(world.press(key, who, Verb.REJECT, comment=typed[who]) for who in typed))
    for who, answer in zip(typed, answers, strict=True):
        assert [each for each in typed.values() if each in repr(answer.card)] == [typed[who]]
    later = {who: await seen(world, key, who) for who in (ICHIRO, HANAKO)}
    assert not any(each in repr(later) for each in typed.values())
    assert [card["refresh"]["userIds"] for card in later.values()] == [[each.teams_id] for each in later]
    assert (await world.row(key)).version == version


async def test_view_changes_when_the_access_ends_although_nothing_is_written() -> None:
    """The views of an unchanged row are kept, but only until the next moment at which they differ."""
    world = new_world(BY_ID)
    key = await world.posted()
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(2)
    row = await world.row(key)
    assert row.request
    assert row.request.access_until
    left = (row.request.access_until - world.clock.now()).total_seconds()
    for seconds, buttons in ((0, {"revoke"}), (left - 1, {"revoke"}), (1, set[str]())):
        await world.clock.advance(seconds)
        assert verbs(await seen(world, key, HANAKO, step="Level1")) == buttons
    assert await world.row(key) == row


async def test_view_names_a_reviewer_for_ten_minutes_although_nothing_is_written() -> None:
    """The mark ends by itself."""
    world = new_world(BY_ID)
    key = await world.posted()
    await world.press(key, HANAKO, Verb.REVIEWING)
    row = await world.row(key)
    [review] = row.reviews
    left = (review.until - world.clock.now()).total_seconds()
    for seconds, named in ((0, True), (left - 1, True), (1, False)):
        await world.clock.advance(seconds)
        assert (HANAKO.name in shown(await seen(world, key, ICHIRO))) is named
    assert await world.row(key) == row


# --- the viewers of a card


async def test_card_names_its_viewers_at_the_post_and_each_update_and_is_never_updated_for_them() -> None:
    """The requester first, then approvers. A member who joins is named with the next update for another reason."""
    world = new_world(BY_ID)
    key = await world.posted()
    assert base_of(world)["refresh"]["userIds"] == [TARO_PERSON.teams_id, HANAKO.teams_id, ICHIRO.teams_id]
    joined = person(9)
    world.people.people.append(joined)
    await world.shown(key)
    assert len(world.chat.of("post")[0].versions) == 1
    world.aws.vote(key, "arn:aws:sts::111122223333:assumed-role/Console/x", Verdict.REJECT)
    await world.shown(key)
    assert joined.teams_id in base_of(world)["refresh"]["userIds"]


async def test_card_of_a_large_channel_names_the_people_who_need_a_view_most() -> None:
    """Teams allows sixty: the requester and the approvers come before readers."""
    crowd = [person(number) for number in range(100, 400)]
    world = new_world(
        replace(APPROVALS, approvers=tuple(f"user:{each.object_id}" for each in crowd[-50:])),
        people=(*crowd, HANAKO, TARO_PERSON),
    )
    await world.posted()
    named = base_of(world)["refresh"]["userIds"]
    assert len(named) == MOST_VIEWERS
    assert {TARO_PERSON.teams_id, *(each.teams_id for each in crowd[-50:])} <= set(named)


class Listed(tuple[str, ...]):
    """Approvers of a channel that count how often they are read."""

    __slots__ = ()
    reads: ClassVar = Counter[str]()

    def __iter__(self) -> Iterator[str]:
        self.reads["list"] += 1
        return super().__iter__()


async def test_approvers_are_prepared_once_for_all_members_of_a_large_channel() -> None:
    """Compared anew with each of 25,000 members, they would take seconds for each card."""
    approvers = Listed(f"upn:{each.upn}" for each in (HANAKO, ICHIRO))
    world = new_world(replace(APPROVALS, approvers=approvers), people=[*map(person, range(1000)), TARO_PERSON])
    await world.posted()
    assert len(base_of(world)["refresh"]["userIds"]) == MOST_VIEWERS
    assert Listed.reads["list"] < 100


async def test_approvers_are_named_to_the_requester_without_a_look_at_each_member() -> None:
    """A large channel has thousands. Its roster is indexed when it is read."""
    members = [*map(person, range(3 * AT_ONCE)), TARO_PERSON, HANAKO]
    world = new_world(BY_ID, people=members)
    row = await world.row(await world.posted())
    wanted = desired(row, world.configuration.value, world.clock.now())
    message = next(each for each in wanted if isinstance(each.view, DirectView) and each.view.deciders)
    naming = Mentioning(world.people, ApproverGroups(world.groups)).on_update(row, message)
    assert await function_calls_during(naming) < AT_ONCE


async def test_card_is_posted_without_viewers_if_no_roster_is_cached(world: World) -> None:
    """A card does not wait for the roster."""
    world.people.cold = True
    await world.posted()
    assert base_of(world)["refresh"]["userIds"] == []


# --- many refreshes


class OneAtATime(MemoryStore):
    """A store that reads one row at a time, each in 10 milliseconds, in the order of the calls, as a thread does.

    A call whose caller has gone is still made.
    """

    clock: ManualClock

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Lock()

    async def load(self, key: RequestKey) -> Any:
        return await asyncio.shield(self._in_turn(key))

    async def _in_turn(self, key: RequestKey) -> Any:
        async with self.turn:
            await self.clock.sleep(0.01)
            return await super().load(key)


async def test_sixty_people_who_see_fifty_open_cards_cause_no_update_and_delay_no_click() -> None:
    """A click in the middle is answered within three seconds. Refreshes without a turn in time get no card."""
    store, people = OneAtATime(), [HANAKO, TARO_PERSON, *(person(number) for number in range(58))]
    world = new_world(replace(APPROVALS, approver_role=None), people=people, store=store)
    store.clock = world.clock
    posting = asyncio.create_task(world.posted_many(50))
    await world.clock.advance(1)
    keys = await posting
    before, rows = messages(world), dict(store.tables.records)

    async def clicked() -> float:
        began = world.clock.epoch()
        answer = await world.press(keys[0], person(1), Verb.WITHDRAW)
        assert code_of(answer) is NoticeCode.NOTHING_TO_WITHDRAW  # not that the store is slow
        return world.clock.epoch() - began

    asks = [asyncio.create_task(seen(world, key, who)) for who in people for key in keys]
    await world.clock.advance(0.1)
    click = asyncio.create_task(clicked())
    await world.clock.advance(60)
    cards = [await each for each in asks]
    assert await click < 3
    assert (len(cards), any(cards), None in cards) == (3000, True, True)
    assert (messages(world), store.tables.records) == (before, rows)


async def test_refresh_is_answered_without_a_card_while_the_store_hangs_or_fails(world: World) -> None:
    """The client keeps the card that it has."""
    key = await world.posted()
    assert isinstance(world.store, MemoryStore)
    world.store.broken = True
    assert await seen(world, key, HANAKO) is None
    assert world.registry.get_sample_value("node_access_refreshes_total", {"outcome": "failed"}) == 1


def test_tenant_of_the_samples_is_the_bots() -> None:
    """Otherwise every view above would be the channel's card for another reason."""
    assert {HANAKO.tenant_id, ICHIRO.tenant_id, TARO_PERSON.tenant_id} == {TENANT}
    assert APPROVALS.conversation == CHANNEL
