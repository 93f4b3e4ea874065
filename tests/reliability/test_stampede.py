"""Figure 7: two hundred approvers click at the same time over real HTTP, with one or three processes on one store."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.aws.jit.policies import MANUAL
from bot.sandbox.aws.world import APPROVER_ROLE, level, manual_policy
from bot.store.dynamodb.items import audit_partition
from tests.fakes.card_text import words
from tests.fakes.dynamodb import STARTED, session
from tests.fakes.launcher import Defect
from tests.fakes.people import HANAKO, ICHIRO, PEOPLE, Person, crowd
from tests.fakes.processes import Processes, environment
from tests.fakes.product import Product, product
from tests.fakes.teams_world import Message
from tests.figures import LONG, Figure, size

CROWD = crowd(200)
SMALL = size(ci=40, long=200)  # of the people who click while the bots use moto's DynamoDB, which is slow
ROUNDS_OF = {"sqlite": size(ci=1, long=50), "dynamodb": size(ci=1, long=5)}
PAIRS_OF = {"sqlite": size(ci=2, long=50), "dynamodb": size(ci=2, long=20)}  # moto becomes too slow for more
INVOKE_LIMIT = 3.0  # seconds; the promised time to answer a click
TABLE = "node-access"
VOTES = ("approve", "reject")
TRIGGERS = dict.fromkeys((*VOTES, "reviewing"), "manual") | {"refresh": "automatic"}
LATE = ("busy", "applying", "store_slow", "not_stored")  # the notices of answers that are sent before the decision
STORES = ("sqlite", "dynamodb")
REPLICAS = [pytest.param(1, "sqlite", id="one"), *(pytest.param(3, each, id=f"three-{each}") for each in STORES)]


def verbs_of(number: int) -> list[str]:
    """Return what a person of the crowd does: each one votes, some also review it, the clients of others refresh it."""
    reviewing, refresh = ["reviewing"] * (number % 5 == 0), ["refresh"] * (number % 3 == 0)
    return [*reviewing, VOTES[number % 2], *refresh]


CLICKS = [(who, verb) for number, who in enumerate(CROWD) for verb in verbs_of(number)]
VOTING = [(who, verb) for who, verb in CLICKS if verb in VOTES]
CLICKS_OF = {"sqlite": CLICKS, "dynamodb": VOTING[:SMALL]}  # moto needs the time to answer a click for votes alone


@dataclass(slots=True)
class Crowded:
    """A world with one or several bot processes on one store, and the measurements."""

    world: Product
    urls: list[str]
    table: Any = None  # a client of the DynamoDB that has the bots' table, if they use one
    slowest: float = 0.0
    statuses: set[int] = field(default_factory=set)

    async def all_at_once(self, card: Message, clicks: Iterable[tuple[Person, str]]) -> list[str]:
        """Let people click the card at the same time, distributed over the processes. Return the answers.

        The verb `refresh` is an automatic refresh of the card.
        """
        microsoft = self.world.microsoft
        signed = [microsoft.signed(microsoft.pressed(who, card, verb, trigger=TRIGGERS[verb])) for who, verb in clicks]

        async def press(url: str, body: bytes, headers: dict[str, str]) -> str:
            began = time.monotonic()
            status, answer = await microsoft.send_raw(url, body, headers=headers)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.statuses.add(status)
            return json.dumps(answer, ensure_ascii=False)

        return await asyncio.gather(*(press(url, *click) for url, click in zip(cycle(self.urls), signed)))

    async def waiting_card(self, node: str = "web-prod-01") -> tuple[str, Message]:
        """Request access. Return the request and a copy of its card, as all approvers see it."""
        request = await self.world.ask(node)
        return request, deepcopy(await self.world.card(request))

    def effects(self, request: str) -> list[str]:
        """Return the session name of each accepted decision of a request in AWS."""
        effects = self.world.aws.effects("Approve", "Reject")
        return [each.by.rpartition("/")[2] for each in effects if each.ops_item_id == request]

    def decided_by(self, request: str, people: set[str]) -> bool:
        """Return whether exactly these people decided the request, and its card shows the decision."""
        card = json.dumps(self.world.cards(request)[0].card)
        return set(self.effects(request)) == people and "Approved by" in card and not _has_buttons(card)

    async def settled(self, request: str) -> None:
        """Wait until AWS has the decision, and Teams shows it: the card has no buttons and its thread has a note.

        Teams alone does not say so: a withdrawn approval has a note, too, while the card shows that the reject is sent.
        """
        (card,) = self.world.cards(request)

        def is_over() -> bool:
            shown = not _has_buttons(json.dumps(card.card)) and bool(self.world.replies(card))
            return shown and bool(self.effects(request))

        await self.world.until(is_over)

    async def round_over(self) -> None:
        """Delete the audit entries of the round from DynamoDB, if the bots use it.

        moto reads the whole table for each query and copies it for each transaction; DynamoDB does neither.
        """
        if self.table:
            await asyncio.to_thread(_delete_audit_entries, self.table)


@asynccontextmanager
async def crowded(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, replicas: int = 1, store: str = "sqlite", defect: str = ""
) -> AsyncIterator[Crowded]:
    """Build the world with its two hundred approvers, and start `replicas` processes on one store."""
    async with product(monkeypatch, folder, people=[*PEOPLE, *CROWD]) as world, Processes() as processes:
        environ = environment(world, folder, store=f"dynamodb:{TABLE}" if store == "dynamodb" else "")
        table = await _dynamodb(processes, environ) if store == "dynamodb" else None
        words = ("tests.fakes.launcher", str(folder), defect) if defect else ()
        bots = await asyncio.gather(*(processes.start(environ, *words) for _ in range(replicas)))
        yield Crowded(world, [bot.url for bot in bots], table)


async def _dynamodb(processes: Processes, environ: dict[str, str]) -> Any:
    """Start a DynamoDB, put its address into the bots' environment, and create their table. Return a client.

    It has its own process: in the test's process, moto would wait for the two hundred people and for Teams.
    """
    server = await processes.start(environ, "tests.fakes.dynamodb", waiting=False)
    await server.wait_for_event(STARTED)
    (started,) = server.events(STARTED)
    environ["AWS_ENDPOINT_URL_DYNAMODB"] = started["endpoint"]
    made = await processes.start(environ, "bot", "doctor", "--create-table", waiting=False)
    assert await made.ended() == 0
    return session().client("dynamodb", region_name=environ["AWS_REGION"], endpoint_url=started["endpoint"])


def _delete_audit_entries(client: Any) -> None:
    for page in client.get_paginator("scan").paginate(TableName=TABLE, ProjectionExpression="pk, sk"):
        for item in page["Items"]:
            if item["pk"]["S"].startswith(audit_partition("")):
                client.delete_item(TableName=TABLE, Key=item)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("replicas", "store"), REPLICAS)
async def test_two_hundred_simultaneous_clicks_on_a_card_send_one_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure, replicas: int, store: str
) -> None:
    """Every click is answered with 200, and its answer shows who decided.

    If the machine is too busy for that, it shows that a decision is in progress, or that the click was not stored in
    time; only the full size fails then. On SQLite, some people also mark themselves as reviewers at the same time, and
    the clients of others refresh the card.
    """
    told, votes = 0, sum(verb in VOTES for _, verb in CLICKS_OF[store])
    async with crowded(monkeypatch, tmp_path, replicas=replicas, store=store) as there:
        for number in range(1, ROUNDS_OF[store] + 1):
            request, card = await there.waiting_card()
            all_answers = zip(CLICKS_OF[store], await there.all_at_once(card, CLICKS_OF[store]), strict=True)
            answers = {who.upn: answer for (who, verb), answer in all_answers if verb in VOTES}
            await there.settled(request)  # on a busy machine all answers may come before the signal
            (decider,) = there.effects(request)
            assert there.world.signals() == number
            late = [answer for answer in answers.values() if not _names(answer, decider)]
            told += len(answers) - len(late)
            assert [answer for answer in late if not _says(answer, *LATE)] == []
            assert not _says(answers[decider], "not_stored")  # it also says that nothing was sent
            await there.round_over()
    figure(
        7,
        replicas=replicas,
        store=store,
        rounds=ROUNDS_OF[store],
        clicks=ROUNDS_OF[store] * votes,
        beside=ROUNDS_OF[store] * (len(CLICKS_OF[store]) - votes),
        signals_a_round=1,
        told=told,
        statuses=sorted(there.statuses),
        slowest_answer=round(there.slowest, 2),
    )
    assert there.statuses == {200}
    # Times prove nothing on a busy machine in continuous integration, so only the long run checks them.
    assert told == ROUNDS_OF[store] * votes or not LONG
    assert there.slowest < INVOKE_LIMIT or not LONG


def _names(answer: str, decider: str) -> bool:
    """Return whether an answer names the person who decided. `person.7@example.com` is shown as Person 7."""
    number = decider.removeprefix("person.").partition("@")[0]
    return re.search(rf"\bPerson {number}\b", answer) is not None


def _says(answer: str, *codes: str) -> bool:
    """Return whether an answer has one of these notices."""
    return any(words(f"notice.{code}") in answer for code in codes)


def _has_buttons(answer: str) -> bool:
    return '"verb": "approve"' in answer or '"verb": "reject"' in answer


@pytest.mark.parametrize(("replicas", "store"), REPLICAS[1:])
async def test_two_simultaneous_approvals_both_count_at_a_level_that_needs_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure, replicas: int, store: str
) -> None:
    """Two people who click at the same time decide a level that requires two approvals."""
    pairs = PAIRS_OF[store]
    async with crowded(monkeypatch, tmp_path, replicas=replicas, store=store) as there:
        await asyncio.to_thread(_require_two_approvals, there.world)
        for _ in range(pairs):
            request, card = await there.waiting_card("bastion-01")
            await there.all_at_once(card, [(HANAKO, "approve"), (ICHIRO, "approve")])
            await there.world.until(partial(there.decided_by, request, {HANAKO.upn, ICHIRO.upn}))
            await there.round_over()
    figure(7, replicas=replicas, store=store, pairs=pairs, approvals=there.world.signals())
    assert there.world.signals() == 2 * pairs
    assert there.statuses == {200}


def _require_two_approvals(world: Product) -> None:
    levels = [level("ManualApproval", APPROVER_ROLE, needed=2)]
    content: dict[str, Any] = manual_policy(levels, targets={"tag:Environment": ["shared"]})
    ssm = world.aws.client("ssm")
    ssm.create_document(Name="Shared-Nodes", Content=json.dumps(content), DocumentType=MANUAL)
    ssm.close()


async def test_control_bot_that_accepts_every_click_sends_several_signals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Negative control: if every click is accepted, several clicks before the first effect send a signal."""
    async with crowded(monkeypatch, tmp_path, defect=Defect.NO_CLAIM) as there:
        _, card = await there.waiting_card()
        with there.world.aws.faults.hold("SendAutomationSignal"):
            await there.all_at_once(card, zip(CROWD[:6], cycle(VOTES)))
            assert there.world.signals() > 1
