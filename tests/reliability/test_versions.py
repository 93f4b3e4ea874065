"""Figure 25: a newer version and this one write the same rows in turn. Nothing is lost, and no decision is doubled.

The newer version adds members at any place, and decisions, surfaces and endings with values that this version does not know.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from bot.domain.access.endings import Ending
from bot.domain.access.sessions import SeenSession, Usage, Whose
from bot.domain.decision import DecisionEvent, DecisionState
from bot.domain.record import Escalation, Lease, Record, Visits
from bot.domain.routing import Route
from bot.domain.rules.reviewing import REVIEW_SPAN, Review, renewed
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import Store
from bot.service.clicks.claiming import ClaimLost, Permit, StaleCheck, claimed
from bot.service.decisions.permission_check import Inputs
from bot.store import rows
from bot.store.rows import RECORD, decode, encode
from tests.contract.stores import DynamoShelf, Shelf, SqliteShelf
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, person
from tests.figures import Figure, size
from tests.reliability.stories import LEADS_CHANNEL
from tests.unit.domain.sample import KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

SEEDS: Final = size(ci=20, long=1_000)
STEPS: Final = 12
SHELVES: Final[dict[str, Callable[[Path], Shelf]]] = {"sqlite": SqliteShelf, "dynamodb": DynamoShelf}
CLICKERS: Final = (HANAKO, ICHIRO, person(3), person(4))
REVIEWERS: Final = (ICHIRO, person(3, "Kim"), person(4, "Kim"))  # two people of the same name
STEPS_OF_ROW: Final = ("Level1", "Level2")
FRESH: Final = Record(KEY, NOW)


def objects(row: Any) -> Iterator[Any]:
    """Yield each object of a stored row to which a newer version may add a member."""
    yield row
    for name in ("request", "requester", "route"):
        yield row[name]
    yield row["request"]["node"]
    yield row["visits"]
    yield row["usage"]
    yield from row["usage"]["sessions"]
    yield from row["request"]["levels"]
    for name in ("decisions", "surfaces", "endings", "reviews", "level_calls", "escalations"):
        yield from row[name]


class NewerVersion:
    """Writes what this version does not know. `added` has every member that must survive."""

    def __init__(self, rng: Random) -> None:
        self._rng, self.added = rng, set[str]()

    def change(self, row: Record) -> Record:
        """Return the row as the newer version writes it."""
        stored = json.loads(encode(RECORD, row))
        name = f"new{len(self.added)}"
        match self._rng.choice(["member", "member", "decision", "surface", "ending"]):
            case "member":
                self._rng.choice(list(objects(stored)))[name] = name
            case "decision":
                made = json.loads(encode(RECORD, row.with_decision(decision(person(9)))))["decisions"][-1]
                stored["decisions"].append({**made, "id": name, "state": "queued"})
            case "surface":
                stored["surfaces"].append({"name": name, "kind": "newer", "delivery": "delivered"})
            case "ending":
                stored["endings"].append({**stored["endings"][0], "id": name, "stage": "newer"})
        self.added.add(name)
        return decode(RECORD, json.dumps(stored), where="row")


class ThisVersion:
    """Writes as the bot does: facts, leases, claims, settled decisions, deliveries, reviews, calls, escalations."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def change(self, row: Record) -> Record:
        """Return the row after a random step."""
        steps = [self._observe, self._lease, self._claim, self._settle, self._deliver, self._requeue]
        return self._rng.choice([*steps, self._review, self._call, self._escalate])(row)

    def _observe(self, row: Record) -> Record:
        facts = request(level("Level1", required=self._rng.randint(1, 3)), level("Level2"))
        return row.observed(facts, TARO_REQUESTER, at=NOW, since=row.version)

    def _lease(self, row: Record) -> Record:
        return replace(row, lease=self._rng.choice([None, Lease("a", NOW), Lease("b", NOW)]))

    def _claim(self, row: Record) -> Record:
        clicker = self._rng.choice(CLICKERS)
        wanted = replace(decision(clicker), id=f"{clicker.object_id} {row.version}")
        inputs = Inputs(1, row.request, row.requester, row.route)
        try:
            return claimed(row, Permit(wanted, inputs), inputs, NOW + SECOND)
        except (ClaimLost, StaleCheck):
            return row

    def _settle(self, row: Record) -> Record:
        live = [each for each in row.live_decisions if each.state is DecisionState.CLAIMED]
        return row.with_decision(self._rng.choice(live).after(DecisionEvent.WITHDRAWN, at=NOW)) if live else row

    def _deliver(self, row: Record) -> Record:
        name = self._rng.choice(["card:approvals", "note:a"])
        kind = SurfaceKind.CARD if name.startswith("card") else SurfaceKind.NOTE
        digest = str(self._rng.random())
        return row.with_surface(Surface(name, kind, DeliveryState.DELIVERED, CHANNEL, "1", digest))

    def _review(self, row: Record) -> Record:
        who, until = self._rng.choice(REVIEWERS), NOW + REVIEW_SPAN - SECOND * self._rng.randint(0, 300)
        return replace(row, reviews=renewed(row.reviews, Review(who.user, who.name, "Level1", until), now=NOW))

    def _call(self, row: Record) -> Record:
        return row.with_level_call(self._rng.choice(STEPS_OF_ROW), NOW)

    def _escalate(self, row: Record) -> Record:
        step = self._rng.choice(STEPS_OF_ROW)
        others = (each for each in row.escalations if each.step != step)
        return replace(row, escalations=(*others, Escalation(step, "leads", LEADS_CHANNEL, NOW)))

    def _requeue(self, row: Record) -> Record:
        return replace(row, requeue_at=NOW + SECOND * self._rng.randint(0, 90))


async def _prepared(store: Store, seed: int) -> Record:
    start = replace(
        FRESH,
        key=replace(KEY, ops_item_id=f"oi-{seed:012x}"),
        request=request(level("Level1", required=3), level("Level2")),
        requester=TARO_REQUESTER,
        route=Route("approvals", CHANNEL, settled=True),
        visits=Visits(2, NOW, 90),
        usage=Usage((SeenSession("a-session", "a-node", Whose.NAMED, open=True),)),
        endings=(Ending("an-ending", HANAKO, "Level1", NOW),),
    )
    return await store.apply(start.key, lambda _: start, now=NOW)


def _missing(row: Record, added: set[str]) -> set[str]:
    text = encode(RECORD, row)
    return {name for name in added if f'"{name}"' not in text}


async def _lost_in(store: Store, seed: int, order: Iterator[str]) -> tuple[set[str], int]:
    """Let the versions write in turn; return what was lost, and the claims beside an unrecognized decision."""
    rng = Random(seed)
    newer, this = NewerVersion(rng), ThisVersion(rng)
    row, doubled = await _prepared(store, seed), 0
    for writer in order:
        before = row
        row = await store.apply(row.key, newer.change if writer == "new" else this.change, now=NOW)
        doubled += writer == "old" and before.has_unrecognized_decision and len(row.decisions) > len(before.decisions)
    loaded = await store.load(row.key)
    assert loaded is not None
    return _missing(loaded, newer.added), doubled


def _turns(seed: int) -> list[str]:
    rng = Random(f"turns {seed}")
    return ["new", "old", "new"] + [rng.choice(["new", "old"]) for _ in range(STEPS)]


@pytest.mark.parametrize("kind", SHELVES)
async def test_two_versions_that_write_rows_in_turn_lose_no_unknown_data(
    kind: str, tmp_path: Path, figure: Figure
) -> None:
    """Members, decisions and surfaces of the newer version are kept.

    In a row with a decision that it cannot read, this version makes no claim.
    """
    shelf = SHELVES[kind](tmp_path)
    store = await shelf.open()
    lost, doubled = set[tuple[int, str]](), 0
    for seed in range(SEEDS):
        missing, more = await _lost_in(store, seed, iter(_turns(seed)))
        lost |= {(seed, name) for name in missing}
        doubled += more
    await shelf.close()
    assert (lost, doubled) == (set(), 0)
    figure(25, store=kind, seeds=SEEDS, lost=0, double_effects=0)


async def test_control_version_that_skips_unknown_members_loses_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Figure
) -> None:
    """Negative control: a version that writes only what it knows loses something in more than half of the seeds."""
    shelf = SqliteShelf(tmp_path)
    store = await shelf.open()
    monkeypatch.setattr(rows, "with_unrecognized", lambda current, _: current)
    failed = sum([bool((await _lost_in(store, seed, iter(_turns(seed))))[0]) for seed in range(SEEDS)])
    await shelf.close()
    assert failed > SEEDS / 2
    figure(25, seeds_that_skip_unknown_members=SEEDS, failed=failed)
