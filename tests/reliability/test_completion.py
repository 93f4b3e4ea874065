"""Figure 12: what AWS does not tell at first is left out of the card, and put in as soon as AWS tells it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain.request import AccessRequest
from bot.service.converge import INCOMPLETE_PAUSE
from tests.fakes.world import World, new_world
from tests.reliability.conftest import Figure

OUTAGE = timedelta(hours=1)  # of the parts that cannot be read; no event and no sweep tells of its end


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request that AWS may not tell, and a text that a card with it has."""

    name: str
    shown: str

    def removed(self, request: AccessRequest) -> AccessRequest:
        """Return the request as a look without this part has it."""
        node = request.node
        match self.name:
            case "name":
                node = replace(node, name=None)
            case "tags":
                node = replace(node, tags=None)
            case "platform":
                node = replace(node, platform=None)
            case "policy":
                request = replace(request, policy=None)
        return replace(request, node=node, complete=False)


PARTS = (
    Part("name", "web-prod-01"),
    Part("tags", "Environment = production"),
    Part("platform", "Linux/UNIX"),
    Part("policy", "E-commerce-Manual-Approval-Policy"),
)


def _cases() -> Iterator[tuple[Part, ...]]:
    """Yield every combination of parts that may be missing."""
    for count in range(1, len(PARTS) + 1):
        yield from itertools.combinations(PARTS, count)


async def test_what_cannot_be_read_at_first_is_completed_later(figure: Figure) -> None:
    """Every combination: posted at once with what is known, one card, complete within ten minutes of AWS's return."""
    completed = 0
    for missing in _cases():
        completed += await _completed(new_world(), missing)
    figure(12, combinations=len(list(_cases())), completed=completed)
    assert completed == len(list(_cases())) == 15


async def _completed(world: World, missing: tuple[Part, ...]) -> bool:
    key = world.aws.add()
    whole = world.aws.requests[key]
    for part in missing:
        world.aws.requests[key] = part.removed(world.aws.requests[key])
    await world.rows.look(key)
    await world.convergence.converge(key)
    (card,) = world.chat.of("post")
    assert card.buttons
    assert [part.shown in _plain(card.card) for part in PARTS] == [part not in missing for part in PARTS]
    await _pass(world, OUTAGE)
    world.aws.requests[key] = whole
    await _pass(world, timedelta(seconds=INCOMPLETE_PAUSE))
    (card,) = world.chat.of("post")
    return all(part.shown in _plain(card.card) for part in PARTS)


def _plain(card: str) -> str:
    """Return a card's text without the marks at which a client may wrap it."""
    return card.replace("\\u200b", "").replace("\u200b", "")


async def _pass(world: World, span: timedelta) -> None:
    """Let time pass, and look whenever a request is due."""
    until = world.clock.now() + span
    while due := await world.store.due(until, 1):
        moment = (await world.row(due[0])).next_look_at or until
        await world.clock.advance(max(0.0, (moment - world.clock.now()).total_seconds()))
        await world.convergence.converge(due[0])
    await world.clock.advance((until - world.clock.now()).total_seconds())
