"""Figure 22: every call to Teams gets a false answer once, one at a time and in pairs, and nothing is lost.

The story: a request with two levels, the first approved by a click, the second in the AWS console, then revoked. The
false answers: 403, 404, 400, 500 and 502, each with and without an effect of the call, and a 2xx without an id.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Match
from bot.domain.shown.card_places import card_name
from bot.domain.shown.surfaces import desired
from bot.rendering import render
from bot.service.clicks.click import Click, Verb
from bot.service.deliver import retry_policy
from tests.fakes.card_text import without_viewers
from tests.fakes.chat import CHANNEL, HANAKO
from tests.fakes.memory_connector import THREAD, FalseAnswer, MemoryConnector, Written
from tests.fakes.world import APPROVALS, World, new_world
from tests.figures import LONG, Figure

pytestmark = pytest.mark.usefixtures("silence")

REFUSALS = (
    FalseAnswer(403, ("BotDisabledByAdmin", "ServiceError")),
    FalseAnswer(404, ("ConversationNotFound", "ActivityNotFoundInConversation")),
    FalseAnswer(400, ("BadSyntax", "BadSyntax")),
)
FAILURES = (FalseAnswer(500, ("ServiceError", "ServiceError")), FalseAnswer(502, body="<html>"))
WITHOUT_ID = (FalseAnswer(201, body="{}", done=True), FalseAnswer(202, body="", done=True))
ANSWERS = (*(replace(each, done=done) for each in (*REFUSALS, *FAILURES) for done in (False, True)), *WITHOUT_ID)
STRANGE_STATUSES = (302, 401, 405, 407, 409, 410, 423, 429, 451, 501, 504, 520)  # of proxies, mostly
NESTED = "[" * 100_000
STRANGE_IDS: tuple[object, ...] = (5, [], " ", "\0", "\ud800", "1" * 5000)
STRANGE = (
    *(FalseAnswer(status, body="<html>") for status in STRANGE_STATUSES),
    FalseAnswer(403, body=NESTED),
    FalseAnswer(404, body='{"error": "gone"}'),
    FalseAnswer(400, body='{"error": {"code": 5}, "message": "{\\"code\\": []}"}'),
    *(FalseAnswer(201, body=json.dumps({"id": each}), done=True) for each in STRANGE_IDS),
    FalseAnswer(200, body=NESTED, done=True),
)
BETWEEN = 120.0  # seconds between two events of the story; repeats are over then
PAIRS = 3  # for each first answer, in continuous integration
STRANGE_EVERY = 1 if LONG else 3  # of the calls, one in this many gets an undocumented answer
VERBS = ("approve", "reject", "revoke")
HOME = replace(APPROVALS, fallback=False, match=Match())
LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")
CARD = card_name(HOME.name)
EXPECTED = Counter(card=1, note=4, direct=3)

Plan = Mapping[int, FalseAnswer]


@dataclass(slots=True)
class Life:
    """One life of a request, with false answers."""

    plan: Plan
    teams: MemoryConnector = field(default_factory=MemoryConnector)
    world: World = field(init=False)

    async def live(self) -> list[str]:
        """Play the story. Return what is wrong at the end."""
        self.world = new_world(HOME, LEADS)
        self.world.chat = self.teams.chat(store=self.world.store, clock=self.world.clock)  # type: ignore[assignment]  # real
        self.world.build()
        self.teams.false.update(self.plan)
        key = self.world.aws.add(levels=2)
        await self._pass(key)
        if not self._cards():
            return ["no card"]
        await self._click(key, self._cards()[-1], Verb.APPROVE)
        self.world.aws.decide(key, Verdict.APPROVE)
        await self._pass(key)
        self.world.aws.end(key, Status.REVOKED)
        await self._pass(key)
        untouched = self._live_buttons()
        for card in self._cards():
            await self._click(key, card, Verb.REFRESH)
        return [*self._wrong(await self.world.row(key), untouched), *self._miscounted()]

    async def _pass(self, key: RequestKey) -> None:
        """Let time pass, and reconcile the request whenever it is due. Calls may sleep before they are repeated."""
        clock, until = self.world.clock, self.world.clock.epoch() + BETWEEN
        await self.world.rows.requeue(key)
        while (due := (await self.world.row(key)).requeue_at) is not None and due.timestamp() <= until:
            await clock.advance(max(0.0, due.timestamp() - clock.epoch()))
            await self._finish(asyncio.create_task(self.world.reconciler.reconcile(key)))
        await clock.advance(max(0.0, until - clock.epoch()))

    async def _finish(self, work: "asyncio.Task[object]") -> None:
        await self.world.clock.advance(0)
        while not work.done():
            await self.world.clock.advance(0.1)
        work.result()

    async def _click(self, key: RequestKey, card: Written, verb: Verb) -> None:
        click = Click(HANAKO, f"{CHANNEL}{THREAD}{card.id}", verb, str(key), "Level1", "", card.id)
        await self._finish(asyncio.create_task(self.world.click_handler.click(click)))
        await self._finish(asyncio.create_task(self.world.click_handler.drain()))
        await self._pass(key)

    # --- what must hold at the end

    def _cards(self) -> list[Written]:
        return [each for each in self.teams.messages.values() if each.root == f"{CHANNEL}{THREAD}{each.id}"]

    def _live_buttons(self) -> int:
        return sum(any(f"'verb': '{verb}'" in str(card.card) for verb in VERBS) for card in self._cards())

    @property
    def unknown_copies(self) -> int:
        """How many messages Teams may have without the bot's knowledge."""
        return sum(each.done for each in self.plan.values())

    def _wrong(self, row: Record, untouched: int) -> Iterator[str]:
        wanted = desired(row, self.world.configuration.value, self.world.clock.now())
        views = (each.view for each in wanted if each.name == CARD)
        true = [without_viewers(render(view, locale=HOME.locale, timezone=HOME.timezone)) for view in views]
        if outdated := [card.id for card in self._cards() if without_viewers(card.card) not in true]:
            yield f"outdated: {outdated}"
        if untouched > self.unknown_copies:
            yield f"{untouched} cards with buttons after the end"
        if live := self._live_buttons():
            yield f"{live} cards with buttons after a refresh"
        if elsewhere := [each for each in self.teams.messages.values() if each.root.startswith(LEADS.conversation)]:
            yield f"{len(elsewhere)} messages in the fallback channel"
        if len(self.world.aws.signals) != 1:
            yield f"{len(self.world.aws.signals)} signals"

    def _miscounted(self) -> Iterator[str]:
        found = Counter(self._kind(each) for each in self.teams.messages.values())
        extra = found - EXPECTED
        if missing := EXPECTED - found:
            yield f"missing: {dict(missing)}"
        if extra.total() > self.unknown_copies:
            yield f"extra: {dict(extra)}"

    @staticmethod
    def _kind(message: Written) -> str:
        if message.root.startswith("a:"):
            return "direct"
        return "card" if message.root.endswith(f"{THREAD}{message.id}") else "note"


@dataclass(slots=True)
class Tally:
    """The counts of many lives."""

    lives: int = 0
    most_extras: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)

    async def play(self, plan: Plan) -> int:
        """Play one life; return how many calls it made."""
        life = Life(plan)
        if problems := await life.live():
            self.wrong[", ".join(f"call {number}: {answer}" for number, answer in plan.items())] = problems
        self.lives += 1
        self.most_extras = max(self.most_extras, len(life.teams.messages) - EXPECTED.total())
        return len(life.teams.calls)


async def singles(answer: FalseAnswer, tally: Tally, *, every: int = 1) -> list[tuple[int, int]]:
    """Give this answer to one call in `every`, one at a time. Return each call, and how many calls that life made."""
    calls = await _without_false_answers()
    return [(call, await tally.play({call: answer})) for call in range(0, calls, every)]


async def _without_false_answers() -> int:
    """Play the story as it should be; return how many calls it makes."""
    tally = Tally()
    calls = await tally.play({})
    assert (tally.wrong, tally.most_extras) == ({}, 0)
    return calls


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_no_message_is_lost_after_one_or_two_false_answers_of_teams(answer: FalseAnswer, figure: Figure) -> None:
    """The card shows the end, and every note and direct message comes.

    A call that took effect despite a false answer may add one copy. After a refresh, no copy of the card has buttons.
    """
    once, twice = Tally(), Tally()
    played = await singles(answer, once)
    pairs = [(call, later, other) for call, calls in played for later in range(call + 1, calls) for other in ANSWERS]
    for call, later, other in pairs if LONG else random.Random(str(answer)).sample(pairs, PAIRS):
        await twice.play({call: answer, later: other})
    figure(
        22,
        answer=str(answer),
        singles=once.lives,
        pairs=twice.lives,
        wrong=len(once.wrong) + len(twice.wrong),
        most_extras=(once.most_extras, twice.most_extras),
    )
    assert {**once.wrong, **twice.wrong} == {}


@pytest.mark.parametrize("answer", STRANGE, ids=lambda each: f"{each} {str(each.body)[:20]}")
async def test_no_message_is_lost_after_an_undocumented_answer_of_teams(answer: FalseAnswer) -> None:
    """A proxy answers with a status or body that Teams does not document, or an accepted message has no usable id."""
    tally = Tally()
    await singles(answer, tally, every=STRANGE_EVERY)
    assert tally.wrong == {}


async def test_control_bot_that_treats_the_first_refusal_as_final_loses_messages(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if the bot treats the first refusal as final, most stories with a refusal go wrong."""
    monkeypatch.setattr(retry_policy, "before_repeat", lambda *_, **__: None)
    tally = Tally()
    for answer in REFUSALS:
        await singles(answer, tally)
    figure(22, control="first refusal final", lives=tally.lives, wrong=len(tally.wrong))
    assert len(tally.wrong) > tally.lives / 2
