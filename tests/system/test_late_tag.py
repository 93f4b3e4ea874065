"""AWS tags the execution of a request shortly after its start. Until then it denies reads and votes.

The whole program over real HTTP.
"""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.server import utc_now
from tests.fakes.card_text import shown
from tests.fakes.people import HANAKO
from tests.fakes.product import UNPACED, product

LATE = timedelta(minutes=5)


class TaggingClock:
    """The clock of AWS. `tag` passes the time until executions are tagged."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    def tag(self) -> None:
        self._ahead = LATE


async def test_request_can_be_decided_after_aws_tagged_its_execution_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The card comes before the tag, without buttons and without the word "permission". Its buttons follow the tag."""
    clock = TaggingClock()
    async with product(
        monkeypatch, tmp_path, rates=UNPACED, now=clock, assumed=Assumptions(tagged_after=LATE)
    ) as world:
        async with world.running():
            request = await world.ask()
            card = await world.card(request)
            early = shown(card.card)
            clock.tag()
            await world.until(lambda: "'verb': 'approve'" in str(card.card))
            await world.click(HANAKO, card, "approve")
            await world.until(lambda: "Approved by" in str(card.card))
        assert "the buttons appear when it can" in early
        assert "permission" not in early
        assert "Approve" not in early
        assert [effect.kind for effect in world.aws.effects()] == ["Approve"]
