"""`my requests` and `history`, over fakes of AWS and Teams: what a person may see of past requests."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.history import HistoryEntry
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.routing import Match
from bot.domain.shown.replies.reply_views import HistoryKind, HistoryView
from bot.domain.shown.views import Banner
from bot.ports.store import Place, Watched
from bot.rendering import render
from bot.service.clicks.click import Verb
from bot.service.commands import Reply
from bot.service.incoming import IncomingMessage
from bot.service.past_requests import MOST_LISTED
from bot.service.pending import LONGEST_LIST
from tests.fakes.aws import TARO
from tests.fakes.card_text import shown
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, new_world

SECRET = "19:secret@thread.tacv2"
HANAKOS = TARO.replace("taro.yamada", "hanako.sato")


async def replied(world: World, text: str, who: Person = HANAKO, *, personal: bool = True, locale: str = "en") -> Reply:
    """Return the reply to a message in the person's chat, or in the approvers' channel."""
    conversation = f"a:{who.object_id}" if personal else f"{CHANNEL};messageid=7"
    return await world.commands.answer(IncomingMessage(text, who, conversation, personal, locale))


async def asked(world: World, text: str, who: Person = HANAKO) -> HistoryView:
    """Return the answer in the person's chat."""
    view = (await replied(world, text, who)).view
    assert isinstance(view, HistoryView)
    return view


def listed(view: HistoryView) -> list[str]:
    """Return the ids of the listed requests."""
    return [line.ops_item_id for line in view.requests]


async def shown_requests(world: World, *requesters: str) -> list[RequestKey]:
    """Add a request of each requester, a minute apart, and post their cards."""
    keys = []
    for number, requester in enumerate(requesters, start=1):
        await world.clock.advance(60)
        keys.append(world.aws.add(number, requester=requester))
        await world.shown(keys[-1])
    return keys


async def test_my_requests_lists_the_askers_own_requests_newest_first_with_their_state(world: World) -> None:
    """One was rejected, one waits; a request of another person is not listed."""
    first, other, last = await shown_requests(world, TARO, HANAKOS, TARO)
    async with world.running():
        await world.press(first, HANAKO, Verb.REJECT, comment="not now")
    view = await asked(world, "my requests", TARO_PERSON)
    assert view.kind is HistoryKind.OWN
    assert listed(view) == [last.ops_item_id, first.ops_item_id]
    assert [line.banner for line in view.requests] == [Banner.WAITING, Banner.REJECTED]
    assert all(line.own for line in view.requests)
    text = shown(render(view, locale="en", timezone="UTC"))
    assert "佐藤 花子" in text
    assert other.ops_item_id not in text


@pytest.mark.parametrize(
    "text", ["my requests", "My  Requests!", "ｍｙ ｒｅｑｕｅｓｔｓ", "自分の申請", "自分の申請を見せて"]
)
async def test_my_requests_is_understood_in_every_usual_spelling(world: World, text: str) -> None:
    """Letter case, width, blanks and further Japanese words make no difference."""
    assert (await asked(world, text)).kind is HistoryKind.OWN


@pytest.mark.parametrize(
    ("text", "kind", "term"),
    [
        ("history", HistoryKind.CHANNELS, ""),
        ("history 30", HistoryKind.CHANNELS, ""),
        ("history web-prod-01", HistoryKind.TERM, "web-prod-01"),
        ("History: Web-Prod-01 7 days", HistoryKind.TERM, "web-prod-01"),
        ("history “web-prod-01” 7d", HistoryKind.TERM, "web-prod-01"),
        ("history 山田 太郎 90", HistoryKind.TERM, "山田 太郎"),
        ("履歴", HistoryKind.CHANNELS, ""),
        ("履歴 web-prod-01 30日間", HistoryKind.TERM, "web-prod-01"),
        ("履歴 30日", HistoryKind.CHANNELS, ""),
        ("履歴を見せて", HistoryKind.CHANNELS, ""),
    ],
)
async def test_history_is_understood_with_a_node_or_a_person_and_a_number_of_days(
    world: World, text: str, kind: HistoryKind, term: str
) -> None:
    """Both are optional. Marks around the name make no difference."""
    view = await asked(world, text)
    assert (view.kind, view.term) == (kind, term)


@pytest.mark.parametrize(
    ("text", "days"),
    [("history", 30), ("history web 7", 7), ("history 0", 1), ("history 9999", 365), ("履歴 14日", 14)],
)
async def test_history_covers_the_stated_number_of_days(world: World, text: str, days: int) -> None:
    """Without a number, it covers 30 days; never more than a year, because rows are kept for about as long."""
    assert (await asked(world, text)).since == world.clock.now() - timedelta(days=days)


async def test_history_lists_requests_of_the_channels_of_which_the_asker_is_a_member(world: World) -> None:
    """A member who is no approver sees them as well, because they see the cards. A stranger sees none."""
    first, last = await shown_requests(world, TARO, HANAKOS)
    only_hanako = replace(APPROVALS, approvers=(f"user:{HANAKO.object_id}",))
    world.configuration.replace(replace(world.configuration.value, channels=(only_hanako,)))
    assert listed(await asked(world, "history", ICHIRO)) == [last.ops_item_id, first.ops_item_id]
    assert listed(await asked(world, "history", person(77))) == []


@pytest.mark.parametrize("what", ["name", "NAME", "id", "taro.yamada@example.com", "taro.yamada", "山田 太郎"])
async def test_history_finds_requests_by_node_and_by_person(world: World, what: str) -> None:
    """A node is named by its name or its id, a person by name, address or session name, in any letter case."""
    (key,) = await shown_requests(world, TARO)
    request = (await world.row(key)).request
    assert request is not None
    assert request.node.name
    words = {"name": request.node.name, "NAME": request.node.name.upper(), "id": request.node.id}
    assert listed(await asked(world, f"history {words.get(what, what)}")) == [key.ops_item_id]
    assert listed(await asked(world, "history another-node")) == []


def secret_world() -> World:
    """Return a world with a second channel, which gets all requests, and of which only Ichiro is a member."""
    secret = replace(APPROVALS, name="secret", conversation=SECRET, fallback=False, match=Match())
    world = new_world(secret, APPROVALS)
    world.people.rosters[SECRET] = [ICHIRO]
    return world


@pytest.mark.parametrize("text", ["history", "history {node}", "history taro.yamada@example.com", "history {id}"])
async def test_history_never_shows_a_request_of_a_channel_that_the_asker_is_not_in(text: str) -> None:
    """Neither by node nor by person. Only the channel's member and the requester see it; the requester has no link."""
    world = secret_world()
    (key,) = await shown_requests(world, TARO)
    await world.store.remember_team_group(SECRET, "22222222-2222-4222-8222-222222222222")
    request = (await world.row(key)).request
    assert request is not None
    words = text.format(node=request.node.name, id=request.node.id)
    assert listed(await asked(world, words, HANAKO)) == []
    assert listed(await asked(world, words, person(77))) == []
    assert listed(await asked(world, words, ICHIRO)) == [key.ops_item_id]
    own = await asked(world, words, TARO_PERSON)
    assert (listed(own), own.requests[0].link) == ([key.ops_item_id], None)


async def test_history_shows_nothing_while_the_roster_cannot_be_read(world: World) -> None:
    """Whether the asker is a member is unknown then. Default deny."""
    await shown_requests(world, TARO)
    world.people.failing = True
    assert listed(await asked(world, "history")) == []


async def test_history_shows_no_request_to_a_guest_with_the_requesters_address() -> None:
    """Guests choose their own mail address, so it identifies no requester."""
    world = secret_world()
    await shown_requests(world, TARO)
    guest = replace(person(66, guest=True), mail=TARO_PERSON.mail)
    world.people.people.append(guest)
    for text in ("my requests", "history", f"history {TARO_PERSON.mail}"):
        assert listed(await asked(world, text, replace(guest, mail=None))) == []


class OutdatedIndex(MemoryStore):
    """A store on the data of another one, whose index has only these entries."""

    def __init__(self, other: MemoryStore, entries: Sequence[HistoryEntry]) -> None:
        super().__init__(other.tables)
        self.entries = entries

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        """Return the entries of the test."""
        return self.entries


async def test_history_shows_no_request_whose_row_has_left_the_list(world: World) -> None:
    """The index lists it under another node, where the row no longer has it. The row decides."""
    (key,) = await shown_requests(world, TARO)
    row = await world.row(key)
    assert isinstance(world.store, MemoryStore)
    world.store = OutdatedIndex(world.store, [HistoryEntry("term:db-prod-02", row.created_at, key)])
    world.build()
    assert listed(await asked(world, "history db-prod-02")) == []


async def test_history_is_answered_privately_and_in_the_persons_language(world: World) -> None:
    """It may show requests of other channels. The answer to `pending` in a channel stays visible to the channel."""
    for text in ("history", "my requests"):
        reply = await replied(world, text, personal=False, locale="ja")
        assert (reply.private, reply.locale) == (True, "ja")
    assert not (await replied(world, "pending", personal=False)).private
    assert not (await replied(world, "history")).private


async def test_history_names_the_moment_before_which_requests_may_be_missing(world: World) -> None:
    """The index begins when it is first used. After 30 days, the default span has no such moment."""
    began = world.clock.now()
    await asked(world, "history")
    await world.clock.advance(3 * 86400)
    view = await asked(world, "history")
    assert view.began == began
    assert "may be missing" in shown(render(view, locale="en", timezone="UTC"))
    await world.clock.advance(30 * 86400)
    assert (await asked(world, "history")).began is None


class ReadsCounted(MemoryStore):
    """Counts the rows that are read in batches and lists."""

    def __init__(self, other: MemoryStore) -> None:
        super().__init__(other.tables)
        self.rows = 0

    async def load_several(self, keys: Sequence[RequestKey]) -> Sequence[Record]:
        self.rows += len(keys)
        return await super().load_several(keys)

    async def watched(self, place: Place | None = None, **named: Any) -> AsyncIterator[Watched]:
        self.rows += len(self.tables.records)
        async for page in super().watched(place, **named):
            yield page


async def test_history_of_a_thousand_requests_reads_a_limited_number_of_them(world: World) -> None:
    """The card lists fifteen, and says that there are at least as many more as were read."""
    await world.posted_many(1000)
    assert isinstance(world.store, MemoryStore)
    world.store = store = ReadsCounted(world.store)
    world.build()
    view = await asked(world, "history")
    assert (len(view.requests), view.more, view.counted) == (LONGEST_LIST, MOST_LISTED - LONGEST_LIST, False)
    assert store.rows <= MOST_LISTED


async def test_request_that_expired_is_in_the_history_with_its_state_and_without_a_decision(world: World) -> None:
    """Nobody decided it."""
    (key,) = await shown_requests(world, TARO)
    world.aws.requests[key] = replace(world.aws.requests[key], status=Status.TIMED_OUT)
    await world.shown(key)
    (line,) = (await asked(world, "history")).requests
    assert (line.banner, line.decision) == (Banner.TIMED_OUT, None)
