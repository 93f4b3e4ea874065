"""Teams behind the Chat and People ports, in memory: messages by activity id, rosters, and planned faults."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.routing import thread_root
from bot.ports.teams import (
    ChatProblem,
    ChatRefused,
    ChatUnavailable,
    GroupProblem,
    GroupUnavailable,
    KnownPeople,
    Message,
    Posted,
    RosterUnavailable,
)

TENANT = "11111111-1111-4111-8111-111111111111"
CHANNEL = "19:approvers@thread.tacv2"


def person(number: int, name: str = "", *, tenant: str = TENANT, guest: bool = False) -> Person:
    """Return a sample person whose ids and addresses have this number."""
    return Person(
        object_id=f"aaaaaaaa-0000-4000-8000-{number:012d}",
        tenant_id=tenant,
        name=name or f"Person {number}",
        upn=f"person{number}@example.com",
        mail=f"person{number}@example.com",
        teams_id=f"29:1-{number}",
        guest=guest,
    )


def without_roster_fields(person: Person) -> Person:
    """Return the person with only the fields that an activity has: without UPN and mail address."""
    return replace(person, upn=None, mail=None)


HANAKO = Person(
    "aaaaaaaa-0000-4000-8000-900000000001",
    TENANT,
    "佐藤 花子",
    "hanako.sato@example.com",
    "hanako.sato@example.com",
    "29:1-sato-hanako",
)
ICHIRO = Person(
    "aaaaaaaa-0000-4000-8000-900000000002",
    TENANT,
    "田中 一郎",
    "ichiro.tanaka@example.com",
    "ichiro.tanaka@example.com",
    "29:1-tanaka-ichiro",
)
TARO_PERSON = Person(
    "aaaaaaaa-0000-4000-8000-900000000006",
    TENANT,
    "山田 太郎",
    "taro.yamada@example.com",
    "taro.yamada@example.com",
    "29:1-yamada-taro",
)


@dataclass(slots=True)
class Sent:
    """One message of the bot. `versions` are its contents, oldest first."""

    kind: str  # post, reply, direct
    where: str
    versions: list[Message] = field(default_factory=list)
    _text: tuple[int, str] = (0, "")  # of the card with this number; tests read each many times

    @property
    def card(self) -> str:
        """The `repr` of the current card, without the marks for wrapping."""
        number, text = self._text
        if number != len(self.versions):
            text = repr(self.versions[-1].card).replace(r"\u200b", "")
            self._text = len(self.versions), text
        return text

    def mentioned(self, version: int = -1) -> list[str]:
        """Return the Teams ids of the people that a version of the card mentions."""
        teams = self.versions[version].card["msteams"]
        assert isinstance(teams, dict)
        return [each["mentioned"]["id"] for each in teams.get("entities", ())]

    @property
    def buttons(self) -> bool:
        """True if the current card has an Approve or Reject button."""
        return "'verb': 'approve'" in self.card or "'verb': 'reject'" in self.card


class FakeChat:
    """Keeps every message of the bot, in order.

    `before` and `after` have, by kind of call, the errors that the next calls raise before or after their effect.
    """

    def __init__(self) -> None:
        self.sent: dict[str, Sent] = {}
        self.before: dict[str, list[Exception]] = defaultdict(list)
        self.after: dict[str, list[Exception]] = defaultdict(list)
        self.without_id: Counter[str] = Counter()  # by kind: so many of the next answers have no activity id
        self.gates: dict[str, asyncio.Event] = {}  # posts wait here before their effect
        self.arrived: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.unreachable: dict[str, ChatProblem] = {}
        self.refusing: dict[str, ChatProblem] = {}  # by conversation, including its threads: posts, replies and updates
        self.silent: set[str] = set()  # conversations, including their threads, in which no reply is answered
        self.asked: Counter[str] = Counter()  # calls by kind, including failed ones
        self._posted = 0  # deleted messages included: an id is never used again

    def copied(self) -> "FakeChat":
        """Return an independent copy with the same messages, without faults and gates."""
        other = FakeChat()
        other.sent = {activity: replace(sent, versions=list(sent.versions)) for activity, sent in self.sent.items()}
        other._posted = self._posted
        return other

    async def post(self, conversation: str, message: Message) -> Posted:
        """Start a thread with this message. Return where it was posted."""
        await self._pass_gate("post")
        activity = self._add("post", conversation, message)
        if self._is_without_id("post"):
            return Posted(conversation, None)
        return Posted(f"{conversation};messageid={activity}", activity)

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace the content of a message."""
        self._begin("update", posted.conversation)
        if posted.activity_id is None or posted.activity_id not in self.sent:
            raise ChatRefused(ChatProblem.ACTIVITY_NOT_FOUND)
        self.sent[posted.activity_id].versions.append(message)
        self._fault("update", self.after)

    async def reply(self, posted: Posted, message: Message) -> Posted:
        """Post into a thread. Return where the reply was posted."""
        await self._pass_gate("reply")
        activity = self._add("reply", posted.conversation, message)
        return Posted(posted.conversation, None if self._is_without_id("reply") else activity)

    async def reply_to_one(self, posted: Posted, person: Person, message: Message) -> None:
        """Post into a thread, visible to one person."""
        self._add("targeted", f"{posted.conversation} {person.object_id}", message)

    async def direct(self, person: Person, message: Message) -> Posted:
        """Post to a person's chat. Return where the message was posted."""
        await self._pass_gate("direct")
        self.asked["direct"] += person.object_id in self.unreachable
        if person.object_id in self.unreachable:
            raise ChatRefused(self.unreachable[person.object_id])
        activity = self._add("direct", person.object_id, message)
        return Posted(f"a:{person.object_id}", None if self._is_without_id("direct") else activity)

    async def _pass_gate(self, kind: str) -> None:
        if gate := self.gates.get(kind):
            self.arrived[kind].set()
            await gate.wait()

    def of(self, kind: str) -> list[Sent]:
        """Return the messages of a kind, in order."""
        return [sent for sent in self.sent.values() if sent.kind == kind]

    def posted_in(self, conversation: str) -> str | None:
        """Return the activity id of the first card in a channel; None before it is posted."""
        cards = (activity for activity, sent in self.sent.items() if (sent.kind, sent.where) == ("post", conversation))
        return next(cards, None)

    @property
    def living(self) -> str:
        """The card of the first message to a requester as it is now: the one that is updated in place."""
        return self.of("direct")[0].card

    def _add(self, kind: str, where: str, message: Message) -> str:
        self._begin(kind, where)
        activity = str(1000 + self._posted)
        self._posted += 1
        self.sent[activity] = Sent(kind, where, [message])
        self._fault(kind, self.after)
        return activity

    def _begin(self, kind: str, where: str) -> None:
        self.asked[kind] += 1
        if (root := thread_root(where)) in self.refusing:
            raise ChatRefused(self.refusing[root])
        if kind == "reply" and root in self.silent:
            raise ChatUnavailable("timeout", ambiguous=False)
        self._fault(kind, self.before)

    def _is_without_id(self, kind: str) -> bool:
        self.without_id[kind] -= 1
        return self.without_id[kind] >= 0

    @staticmethod
    def _fault(kind: str, faults: dict[str, list[Exception]]) -> None:
        if faults[kind]:
            raise faults[kind].pop(0)


class FakeGroups:
    """`ports.teams.Groups`: the members of each group in `groups`, or the problem with which it cannot be read.

    A group that is not in `groups` is not found. If `cold`, no group is cached.
    """

    def __init__(self) -> None:
        self.groups: dict[str, frozenset[str] | GroupProblem] = {}
        self.cold = False
        self.asked = 0

    def set(self, group: str, *people: Person) -> None:
        """Put people, and no one else, into a group."""
        self.groups[group] = frozenset(each.object_id for each in people)

    async def members(self, group: str) -> frozenset[str]:
        """Return the members. Raises GroupUnavailable."""
        self.asked += 1
        found = self.groups.get(group, GroupProblem.NOT_FOUND)
        if isinstance(found, GroupProblem):
            raise GroupUnavailable(found)
        return found

    def cached_members(self, group: str) -> frozenset[str] | None:
        """Return the members unless they cannot be read, or no group is cached. No call is counted."""
        found = None if self.cold else self.groups.get(group)
        return None if isinstance(found, GroupProblem) else found


class FakePeople:
    """One list of people, which is the roster of every channel. If `failing`, the roster cannot be read.

    A conversation with an entry in `rosters` has its own list.

    `before_member` has what happens during the next calls of `member`, before their answers.
    """

    def __init__(self, people: Sequence[Person]) -> None:
        self.people = list(people)
        self.rosters: dict[str, Sequence[Person]] = {}
        self.by_chat: list[Person] = []  # people with a personal chat who are in no roster
        self.failing = False
        self.cold = False  # True: no roster is cached
        self.generation = 0
        self.before_member: list[Callable[[], Awaitable[object]]] = []
        self.asked = 0
        self.asked_known = 0
        self._indexed: dict[str, tuple[tuple[Person, ...], Members]] = {}

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the member of the conversation with this object id, or None. Raises RosterUnavailable."""
        self.asked += 1
        if self.before_member:
            await self.before_member.pop(0)()
        if self.failing:
            raise RosterUnavailable
        return next((each for each in self.rosters.get(conversation, self.people) if each.object_id == object_id), None)

    async def roster(self, conversation: str) -> Members:
        """Return the people of this conversation. Raises RosterUnavailable."""
        self.asked += 1
        if self.failing:
            raise RosterUnavailable
        return self._members(conversation)

    def cached_member(self, conversation: str, object_id: str) -> Person | None:
        """Return the member unless the roster is `cold`. No call is counted."""
        return self.cached_roster(conversation).get(object_id)

    def cached_roster(self, conversation: str) -> Members:
        """Return the people of this conversation unless the roster is `cold`. No call is counted."""
        return Members() if self.cold or self.failing else self._members(conversation)

    async def known(self, names: frozenset[str]) -> KnownPeople:
        """Return the people with these names: members, unless the roster cannot be read, and people of a chat."""
        self.asked_known += 1
        others = [each for each in self.by_chat if each.is_named(names)]
        members = () if self.failing else self._members("").named(names)
        return KnownPeople((*members, *others), complete=not self.failing)

    async def with_ids(self, object_ids: Iterable[str]) -> Sequence[Person]:
        """Return the people with these object ids: members, unless the roster cannot be read, and people of a chat."""
        self.asked_known += 1
        members = [] if self.failing else [self._members("").get(each) for each in object_ids]
        others = [replace(each, upn=None, mail=None) for each in self.by_chat if each.user in object_ids]
        return [*filter(None, members), *others]

    def _members(self, conversation: str) -> Members:
        """Return the roster of a conversation. As in the directory, it is the same object until it changes."""
        people = tuple(self.rosters.get(conversation, self.people))
        if (kept := self._indexed.get(conversation)) is None or kept[0] != people:
            self._indexed[conversation] = kept = people, Members(people)
        return kept[1]
