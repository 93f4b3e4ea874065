"""Commands that people write to the bot, over fakes of AWS and Teams."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.config.file import parse_configuration
from bot.domain.configuration import PrivateReplies
from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.shown.replies.commands import BotCommand
from bot.domain.shown.replies.reply_views import HelpView, MessageCode, MessageView, PendingView, SetupView, View
from bot.domain.shown.views import CardView
from bot.ports.store import MOST_IN_PAGE, Place, Store, Watched
from bot.rendering import render
from bot.rendering.command_names import COMMAND_NAMES
from bot.rendering.i18n import LOCALES
from bot.rendering.template import Card
from bot.service.clicks.click import Verb
from bot.service.commands import setup_view
from bot.service.incoming import IncomingMessage
from bot.service.pending import LONGEST_LIST, MOST_COUNTED
from tests.contract import documents
from tests.fakes.aws import TARO
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import CHANNEL, HANAKO, TARO_PERSON, FakePeople, person
from tests.fakes.clock import turns_during
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, SITE, World, new_world

GROUP = "22222222-2222-4222-8222-222222222222"  # of the team of the approvers' channel


async def asked(world: World, text: str, *, who: Person = HANAKO, personal: bool = False) -> View:
    """Return the answer to a message."""
    conversation = f"a:{who.object_id}" if personal else f"{CHANNEL};messageid=7"
    return (await world.commands.answer(IncomingMessage(text, who, conversation, personal))).view


def monospaced(card: Card) -> list[str]:
    """Return the texts in a monospace font: on the help card, the commands."""
    return [piece["text"] for piece in nodes(card) if piece.get("fontType") == "Monospace"]


def command_of(line: str) -> BotCommand:
    """Return the command with whose English name a line begins."""
    (command,) = (each for each in BotCommand if f"{line} ".startswith(f"{each} "))
    return command


@pytest.mark.parametrize("text", ["", "  ", "?", "Help", "help me", "ヘルプ", "ﾍﾙﾌﾟ", "ヘルプをください"])
async def test_empty_message_and_each_spelling_of_help_are_answered_with_the_help(world: World, text: str) -> None:
    """The name of the command may be in any case, in English or Japanese, and further words may follow."""
    assert await asked(world, text) == HelpView()


PENDING = (
    *(
        "pending",
        "Pending",
        "PENDING",
        "ｐｅｎｄｉｎｇ",
        "ＰＥＮＤＩＮＧ",
        "/pending",
        "／pending",
        "!pending",
        "- pending",
    ),
    *(
        "pending.",
        "pending!",
        "pending?",
        "pending:",
        "pending,",
        "pending please",
        "“pending”",
        "`pending`",
        "**pending**",
    ),
    *(
        "\u200bpending",
        "pend\u200bing",
        "pending\ufeff",
        "\u2068pending\u2069",
        "pen\u00adding",
        "\u00a0pending",
        "👀 pending",
    ),
    *(
        "承認待ち",
        "承認待ち。",
        "「承認待ち」",
        "／承認待ち",
        "承認待ち？",
        "承認待ちの一覧",
        "承認待ちを見せて",
        "承認\u200b待ち",
    ),
)


@pytest.mark.parametrize("text", PENDING)
async def test_pending_command_is_understood_in_every_usual_spelling(world: World, text: str) -> None:
    """Letter case, width, marks around the name, and invisible characters make no difference.

    Nor do further words, or anything that follows a Japanese name.
    """
    key = await world.posted()
    view = await asked(world, text)
    assert isinstance(view, PendingView)
    assert [line.ops_item_id for line in view.requests] == [key.ops_item_id]


STATUS = (
    *("status oi-000000000001", "Status OI-000000000001.", "status: oi-000000000001", "status:oi-000000000001"),
    *(
        "status of oi-000000000001, please",
        "status `oi-000000000001`",
        "status (oi-000000000001)",
        "status oi–000000000001",
    ),
    *(
        "status 111122223333/ap-northeast-1/oi-000000000001",
        "ｓｔａｔｕｓ　ｏｉ－０００００００００００１",
        "oi-000000000001",
    ),
    *(
        "状態 oi-000000000001",
        "状態　oiー000000000001",
        "状態oi-000000000001",
        "状態：oi-000000000001",
        "oi-000000000001の状態",
    ),
)


@pytest.mark.parametrize("text", STATUS)
async def test_message_with_an_ops_item_id_in_any_usual_spelling_is_answered_with_the_request(
    world: World, text: str
) -> None:
    """The id may be before or after `status` or its Japanese name, or be the whole message.

    It may be in full width or capitals, have another dash, or follow the account and Region.
    """
    key = await world.posted()
    view = await asked(world, text)
    assert isinstance(view, CardView)
    assert view.ops_item_id == key.ops_item_id


@pytest.mark.parametrize("text", ["approve oi-000000000001", "pendings", "appending", "oi-00000000000", "待ち", "123"])
async def test_message_without_a_whole_command_name_is_answered_unknown_command(world: World, text: str) -> None:
    """Another word, a longer English word, a part of a Japanese name and an incomplete id are not understood."""
    await world.posted()
    assert await asked(world, text) == MessageView(MessageCode.UNKNOWN_COMMAND, text.partition(" ")[0])


@pytest.mark.parametrize(
    ("japanese", "english"),
    [("承認待ち", "pending"), ("状態　oi-000000000001", "status oi-000000000001"), ("設定", "setup")],
)
async def test_japanese_name_of_a_command_has_the_same_answer_as_the_english_name(
    world: World, japanese: str, english: str
) -> None:
    """An argument may follow after an ideographic space."""
    await world.shown(world.aws.add())
    answer = await asked(world, japanese)
    assert answer == await asked(world, english)
    assert not isinstance(answer, MessageView) or answer.code is not MessageCode.UNKNOWN_COMMAND


@pytest.mark.parametrize("personal", [False, True])
async def test_help_lists_exactly_the_commands_for_this_kind_of_chat(world: World, personal: bool) -> None:
    """In a channel, the help card lists all commands. In a personal chat, it lists all commands except `setup`."""
    card = render(await asked(world, "help", personal=personal), locale="en", timezone="UTC")
    expected = set(BotCommand) - ({BotCommand.SETUP} if personal else set())
    assert {command_of(line) for line in monospaced(card)} == expected


@pytest.mark.parametrize("name", [name for names in COMMAND_NAMES.values() for name in names.values()])
async def test_every_name_of_a_command_is_understood(world: World, name: str) -> None:
    """No name in the table of commands is answered with "I don't know that command"."""
    answer = await asked(world, name)
    assert not isinstance(answer, MessageView) or answer.code is not MessageCode.UNKNOWN_COMMAND


def test_every_command_has_a_name_in_every_language() -> None:
    """The names are complete, and no two commands share one."""
    assert COMMAND_NAMES.keys() == set(LOCALES)
    assert all(names.keys() == set(BotCommand) for names in COMMAND_NAMES.values())
    every = [name for names in COMMAND_NAMES.values() for name in names.values()]
    assert len(set(every)) == len(every)


def test_every_command_in_teams_is_documented_in_the_readme() -> None:
    """The table of commands has a row for each English name. README.md contains each Japanese name."""
    readme = documents.read(documents.README)
    rows = documents.table(documents.section(readme, "## Commands in Teams"), "command", "where", "answer")
    assert {command_of(command.strip("`")) for command, _, _ in rows} == set(BotCommand)
    assert [name for name in COMMAND_NAMES["ja"].values() if f"`{name}" not in readme] == []


async def test_unknown_command_is_named_in_the_answer(world: World) -> None:
    """The answer repeats the first word, cut to 40 characters."""
    assert await asked(world, "frobnicate " * 20) == MessageView(MessageCode.UNKNOWN_COMMAND, "frobnicate")
    assert await asked(world, "x" * 100) == MessageView(MessageCode.UNKNOWN_COMMAND, "x" * 40)


async def test_pending_in_a_channel_lists_a_waiting_request_and_no_decided_request(world: World) -> None:
    """Two requests have cards in the channel, and one of them was rejected."""
    first, second = world.aws.add(1), world.aws.add(2)
    for key in (first, second):
        await world.shown(key)
    async with world.running():
        await world.press(first, HANAKO, Verb.REJECT)
    view = await asked(world, "pending")
    assert isinstance(view, PendingView)
    assert [line.ops_item_id for line in view.requests] == [second.ops_item_id]


async def test_pending_in_a_personal_chat_lists_the_persons_own_requests_and_those_to_decide(world: World) -> None:
    """The requester and an approver see the request, marked as their own or not; a stranger gets an empty list."""
    await world.shown(world.aws.add())
    own, other = (
        await asked(world, "pending", who=TARO_PERSON, personal=True),
        await asked(world, "pending", personal=True),
    )
    assert isinstance(own, PendingView)
    assert isinstance(other, PendingView)
    assert [own.requests[0].own, other.requests[0].own] == [True, False]
    stranger = await asked(world, "pending", who=person(77), personal=True)
    assert stranger == MessageView(MessageCode.NOTHING_PENDING)


@pytest.mark.parametrize("requester", ["arn:aws:sts::111122223333:assumed-role/AnyRole/batch", None])
@pytest.mark.parametrize("guest", [True, False])
async def test_pending_in_a_personal_chat_omits_requests_that_the_person_cannot_decide(
    requester: str | None, guest: bool
) -> None:
    """A guest cannot decide, and no one can decide a request from an unidentified requester."""
    world = new_world(people=[replace(HANAKO, guest=guest), TARO_PERSON])
    await world.shown(world.aws.add(requester=requester) if requester else world.aws.add())
    view = await asked(world, "pending", personal=True)
    assert isinstance(view, PendingView) == (requester is None and not guest)


async def with_group(world: World) -> World:
    """Store the group of the channel's team, so that cards have links."""
    await world.store.remember_team_group(CHANNEL, GROUP)
    return world


async def test_pending_in_a_personal_chat_lists_the_requests_that_wait_for_the_person_first(world: World) -> None:
    """Hanako made the older request. The newer one waits for her decision, so it comes first."""
    own = world.aws.add(1, requester=TARO.replace("taro.yamada", "hanako.sato"))
    other = world.aws.add(2)
    for key in (own, other):
        await world.shown(key)
    view = await asked(world, "pending", personal=True)
    assert isinstance(view, PendingView)
    assert [(line.ops_item_id, line.own, line.turn) for line in view.requests] == [
        (other.ops_item_id, False, True),
        (own.ops_item_id, True, False),
    ]


async def test_pending_shows_reason_age_time_left_and_the_way_to_the_card(world: World) -> None:
    """Twelve minutes after the request, the card shows "12 minutes ago", and a button that opens the request's card."""
    await (await with_group(world)).posted()
    await world.clock.advance(720)
    view = await asked(world, "pending", personal=True)
    assert isinstance(view, PendingView)
    card = render(view, locale="en", timezone="UTC")
    (line,) = view.requests
    assert line.reason
    assert line.reason[:40] in shown(card)
    assert "12 minutes ago · expires in" in shown(card)
    assert [each["url"] for each in nodes(card) if each.get("type") == "Action.OpenUrl"] == [line.link]
    assert line.link == SITE.message_link(f"{CHANNEL};messageid=1000", "1000", group_id=GROUP)


@pytest.mark.parametrize("text", ["pending", "status oi-000000000001"])
@pytest.mark.parametrize("personal", [True, False])
async def test_answers_link_to_the_card_once_the_group_of_the_team_is_known(
    world: World, text: str, personal: bool
) -> None:
    """Without the group, there is no link, because Teams does not say that it would open."""
    await world.posted()

    async def link() -> str | None:
        view = await asked(world, text, personal=personal)
        assert isinstance(view, PendingView | CardView)
        return view.link if isinstance(view, CardView) else view.requests[0].link

    assert await link() is None
    await with_group(world)
    assert await link() == SITE.message_link(f"{CHANNEL};messageid=1000", "1000", group_id=GROUP)


async def test_requester_who_is_no_member_of_the_channel_gets_no_link_to_its_card(world: World) -> None:
    """The link would name a channel that the requester cannot open."""
    key = await (await with_group(world)).posted()
    status, pending = await shown_in_person(world, key, TARO_PERSON)
    assert isinstance(status, CardView)
    assert isinstance(pending, PendingView)
    assert (status.link, pending.requests[0].link) == (None, None)


async def test_answers_have_no_link_while_the_roster_of_the_channel_cannot_be_read(world: World) -> None:
    """Whether the requester is a member of the channel is unknown then."""
    key = await (await with_group(world)).posted()
    world.people.failing = True
    world.people.by_chat.append(TARO_PERSON)
    status = await asked(world, f"status {key.ops_item_id}", who=TARO_PERSON, personal=True)
    assert isinstance(status, CardView)
    assert status.link is None


@pytest.mark.parametrize("text", ["help", "pending", "status oi-000000000001", "setup", "history"])
async def test_every_answer_in_a_channel_is_private_if_private_replies_are_targeted(world: World, text: str) -> None:
    """The answer is in the person's language, and `pending` marks what the person may decide."""
    await world.posted()
    value = world.configuration.value
    world.configuration.replace(replace(value, private_replies=PrivateReplies.TARGETED))
    message = IncomingMessage(text, HANAKO, f"{CHANNEL};messageid=7", personal=False, locale="ja")
    reply = await world.commands.answer(message)
    assert (reply.private, reply.locale) == (True, "ja")
    if isinstance(reply.view, PendingView):
        assert [line.turn for line in reply.view.requests] == [True]


async def test_list_of_pending_requests_is_cut_after_fifteen_and_counts_the_rest(world: World) -> None:
    """Of twenty requests, the card lists fifteen and says that there are five more."""
    for number in range(1, 21):
        await world.shown(world.aws.add(number))
    view = await asked(world, "pending")
    assert isinstance(view, PendingView)
    assert (len(view.requests), view.more) == (15, 5)


async def test_list_of_a_thousand_pending_requests_is_read_and_counted_only_in_part(world: World) -> None:
    """The card says "at least": the command stops after one page of a hundred rows."""
    await world.posted_many(1000)
    world.store = store = PagesCounted(world.store)
    world.build()
    view = await asked(world, "pending")
    assert isinstance(view, PendingView)
    assert (len(view.requests), view.more, view.counted) == (LONGEST_LIST, MOST_COUNTED, False)
    assert "at least 85 more" in shown(render(view, locale="en", timezone="UTC"))
    assert (store.pages, MOST_IN_PAGE) == (1, 100)


async def test_event_loop_runs_other_tasks_while_pending_requests_are_read(world: World) -> None:
    """A stranger's list is empty, so all rows are read. Other tasks run at least once per page of rows."""
    await world.posted_many(1000)
    turns = await turns_during(asked(world, "pending", who=person(77), personal=True))
    assert turns >= 1000 / MOST_IN_PAGE


async def test_request_of_a_persons_own_channel_is_listed_after_many_of_a_channel_that_they_are_not_in() -> None:
    """The rows of the other channel fill more than a page, and are left out where they are read."""
    other = replace(APPROVALS, name="others", conversation="19:others@thread.tacv2", fallback=False)
    world = new_world(APPROVALS, other)
    await world.posted_many(MOST_IN_PAGE + 20)
    assert isinstance(world.store, MemoryStore)
    key, row = next(reversed(world.store.tables.records.items()))
    assert row.route is not None
    route = replace(row.route, channel="others", conversation=other.conversation)
    world.store.tables.records[key] = replace(row, route=route, created_at=row.created_at + timedelta(seconds=1))
    world.people = OnlyIn(world.people.people, other.conversation)
    world.build()
    view = await asked(world, "pending", who=HANAKO, personal=True)
    assert isinstance(view, PendingView)
    assert [(line.ops_item_id, line.turn) for line in view.requests] == [(key.ops_item_id, True)]


class OnlyIn(FakePeople):
    """People who are in one conversation, and in no other."""

    def __init__(self, people: Sequence[Person], conversation: str) -> None:
        super().__init__(people)
        self._conversation = conversation

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the person only in this conversation."""
        return await super().member(conversation, object_id) if conversation == self._conversation else None


async def test_simultaneous_pending_commands_never_read_the_rows_at_the_same_time(world: World) -> None:
    """Fifty simultaneous commands of one person read the rows once.

    For five other people, the rows are read once each, one person at a time.
    """
    await world.posted_many(200)
    world.store = store = PagesCounted(world.store)
    world.build()
    await asyncio.gather(*(asked(world, "pending", who=person(77), personal=True) for _ in range(50)))
    assert (store.pages, store.most_at_once) == (200 / MOST_IN_PAGE, 1)
    await asyncio.gather(*(asked(world, "pending", who=person(number), personal=True) for number in range(70, 75)))
    assert (store.pages, store.most_at_once) == (6 * 200 / MOST_IN_PAGE, 1)


class PagesCounted(MemoryStore):
    """Counts the pages of watched rows, and the most lists that were read at once. It shares another store's data."""

    def __init__(self, other: Store) -> None:
        assert isinstance(other, MemoryStore)
        super().__init__(other.tables)
        self.pages = self.at_once = self.most_at_once = 0

    async def watched(self, place: Place | None = None, **named: Any) -> AsyncIterator[Watched]:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            async for page in super().watched(place, **named):
                self.pages += 1
                yield page
        finally:
            self.at_once -= 1


async def test_status_is_answered_with_the_card_without_buttons_or_with_not_found(world: World) -> None:
    """A person who may not see the request, and anyone who writes an invalid id, gets "not found"."""
    key = await world.posted()
    view = await asked(world, f"status {key.ops_item_id.upper()}")
    assert isinstance(view, CardView)
    assert not view.buttons
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    assert await asked(world, f"status {key.ops_item_id}", who=person(77), personal=True) == missing
    assert await asked(world, f"status {key.ops_item_id} please", who=person(77), personal=True) == missing
    assert await asked(world, "status oi-nonsense") == MessageView(MessageCode.NOT_FOUND, "oi-nonsense")


class _Elsewhere(FakePeople):
    """People who are in no approvers' channel: they are in another channel, or have only installed the bot."""

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return None: the roster does not have this person."""
        return None


async def shown_in_person(world: World, key: RequestKey, who: Person) -> tuple[View, View]:
    """Return the answers to `status` and `pending` in the chat of a person who is in no approvers' channel."""
    world.people = _Elsewhere(world.people.people)
    world.build()
    status = await asked(world, f"status {key.ops_item_id}", who=who, personal=True)
    return status, await asked(world, "pending", who=who, personal=True)


async def test_status_and_pending_show_requesters_outside_the_channel_their_own_request(world: World) -> None:
    """The requester is identified, but the roster of the approvers' channel does not have them."""
    key = await world.posted()
    status, pending = await shown_in_person(world, key, TARO_PERSON)
    assert isinstance(status, CardView)
    assert isinstance(pending, PendingView)


@pytest.mark.parametrize("marked", [True, False])
async def test_status_and_pending_show_no_request_to_a_guest_with_the_requesters_address(
    marked: bool, world: World
) -> None:
    """Guests choose their own mail address, so it identifies no requester. The message or the roster marks guests."""
    key = await world.posted()
    guest = replace(person(66, guest=True), mail=TARO_PERSON.mail)
    world.people.people.append(guest)
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    nothing = missing, MessageView(MessageCode.NOTHING_PENDING)
    assert await shown_in_person(world, key, replace(guest, mail=None, guest=marked)) == nothing


async def test_status_and_pending_show_no_request_to_the_person_in_an_untrusted_roles_session_name(
    world: World,
) -> None:
    """The caller can choose the session name of an untrusted role, so it identifies no requester."""
    key = world.aws.add(requester=TARO.replace("Operator", "AnybodysRole"))
    await world.shown(key)
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    nothing = missing, MessageView(MessageCode.NOTHING_PENDING)
    assert await shown_in_person(world, key, TARO_PERSON) == nothing


async def test_setup_in_a_new_channel_returns_an_entry_that_can_be_appended_to_the_file(world: World) -> None:
    """The file is valid with the entry, once the channel that the answer names is the fallback.

    A configured channel or a personal chat gets a message instead.
    """
    assert await asked(world, "setup") == MessageView(MessageCode.ALREADY_SET_UP, "approvals")
    assert await asked(world, "setup", personal=True) == MessageView(MessageCode.CHANNEL_ONLY)
    message = IncomingMessage("setup", HANAKO, "19:another@thread.tacv2;messageid=7", personal=False)
    view = (await world.commands.answer(message)).view
    assert isinstance(view, SetupView)
    assert view.fallback == "approvals"
    there = '[[channels]]\nname = "approvals"\nfallback = true\nconversation = "19:approvers@thread.tacv2"\n'
    names = [channel.name for channel in parse_configuration(f"{there}\n{view.toml}".encode()).channels]
    assert names == ["approvals", "approvals-2"]


def test_entry_for_one_of_several_channels_advises_no_change_of_another_channel() -> None:
    """Only a single channel may have to become the fallback: the file is valid without one as long as it is alone."""
    channels = [APPROVALS, replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2", fallback=False)]
    found = [setup_view("19:another@thread.tacv2", each).fallback for each in (channels, channels[1:], channels[:1])]
    assert found == [None, None, "approvals"]


@pytest.mark.parametrize(
    ("locale", "words"), [("en", "takes effect within seconds; the bot needs no restart"), ("ja", "再起動は不要です")]
)
async def test_answer_to_setup_says_that_no_restart_is_needed(world: World, locale: str, words: str) -> None:
    """The bot reads the file every few seconds."""
    message = IncomingMessage("setup", HANAKO, "19:another@thread.tacv2", personal=False)
    view = (await world.commands.answer(message)).view
    assert words in shown(render(view, locale=locale, timezone="UTC"))
