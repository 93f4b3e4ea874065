"""What the product promises its users, kept by the whole program over real HTTP."""

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.event_bus import Delivery
from bot.sandbox.faults import Loss
from tests.fakes.card_text import words
from tests.fakes.people import HANAKO, ICHIRO, MEI, TARO
from tests.fakes.product import Product, product


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams, the bot not started yet."""
    async with product(monkeypatch, tmp_path) as world:
        yield world


def has_buttons(card: object) -> bool:
    """Tell whether one can decide on a card."""
    return "'verb': 'approve'" in str(card)


async def test_from_the_request_to_the_decision(world: Product) -> None:
    """Card, click, signal under the person's name, card in place, thread, direct message with the commands."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        assert has_buttons(card.card)
        answer = await world.click(HANAKO, card, "approve", "どうぞ")
        assert "佐藤 花子" in str(answer["value"])
        await world.until(lambda: len(world.microsoft.posted(world.microsoft.world.personal(TARO))) == 2)
        await world.until(lambda: len(world.replies(card)) == 1)
    (call,) = world.aws.calls("SendAutomationSignal")
    assert call.caller.endswith("assumed-role/NodeAccessApprover/hanako.sato@example.com")
    assert call.params["Payload"] == {"Comment": ["どうぞ (佐藤 花子 via Microsoft Teams)"]}
    assert not has_buttons(world.cards(request)[0].card)
    assert "SendAutomationSignal" in str(world.replies(card)[0].card)
    assert "start-session" in str(world.microsoft.posted(world.microsoft.world.personal(TARO))[-1].card)


async def test_late_clicks_reach_aws_never(world: Product) -> None:
    """By the same person and by others: no further call, and each is told who decided, when and why."""
    async with world.running():
        card = await world.card(await world.ask())
        early = _copy(card)
        await world.click(HANAKO, early, "reject", "no ticket")
        late = [await world.click(who, early, verb) for who in (HANAKO, ICHIRO) for verb in ("approve", "reject")]
    assert world.signals() == 1
    for answer in late:
        text = str(answer["value"])
        assert "佐藤 花子" in text
        assert "no ticket" in text
        assert not has_buttons(text)


def _copy(card: Any) -> Any:
    """Return the card as somebody saw it whose client has missed every update since."""
    return deepcopy(card)


async def test_decided_while_the_bot_was_down(world: Product) -> None:
    """Its first sweep after the start shows what the console decided, events or not."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
    world.aws.events.deliver(Delivery.NEVER)
    await world.console(request, "reject", "from the console")
    async with world.running():
        await world.until(lambda: "from the console" in str(world.cards(request)[0].card))
    assert not has_buttons(world.cards(request)[0].card)
    assert len(world.replies(card)) == 1


async def test_every_event_lost(world: Product) -> None:
    """The sweep alone brings the card."""
    world.aws.events.deliver(Delivery.NEVER)
    world.sweep_seconds = 0.2
    async with world.running():
        assert has_buttons((await world.card(await world.ask())).card)


async def test_aws_that_answers_after_eight_seconds(world: Product) -> None:
    """The click is answered in time with "applying"; the card follows when AWS has answered."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        with world.aws.faults.hold("GetAutomationExecution") as held:
            answer = await world.click(
                HANAKO, card, "approve"
            )  # while AWS is still silent; test_deciding has the seconds
            assert words("banner.applying") in str(answer["value"])
            assert not has_buttons(answer["value"])
            assert world.signals() == 0
            held.release()
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert world.signals() == 1


async def test_a_reply_that_is_lost_after_the_signal_took_effect(world: Product) -> None:
    """One signal, never a second; the card follows."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        world.aws.faults.lose_reply("SendAutomationSignal", how=Loss.CLOSED)
        await world.click(HANAKO, card, "approve")
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert world.signals() == 1


async def test_the_button_of_a_level_that_has_passed(world: Product) -> None:
    """A click on the first level's button after that level decides nothing at the second."""
    async with world.running():
        request = await world.ask("db-prod-01")
        first = _copy(await world.card(request))
        await world.click(HANAKO, first, "approve")
        answer = await world.click(ICHIRO, first, "approve")
        assert "Level2" in str(answer["value"])
        assert [effect.step for effect in world.aws.effects()] == ["Level1"]
        assert world.signals() == 1
        await world.until(lambda: "'step': 'Level2'" in str(world.cards(request)[0].card))
        await world.click(MEI, await world.card(request), "approve")
    assert [effect.step for effect in world.aws.effects()] == ["Level1", "Level2"]


async def test_the_requester_clicks(world: Product) -> None:
    """Nobody decides their own request."""
    async with world.running():
        card = await world.card(await world.ask())
        answer = await world.click(TARO, card, "approve", "it is me")
        assert answer["statusCode"] == 200
        assert has_buttons(answer["value"])
        assert "it is me" in str(answer["value"])
    assert world.signals() == 0


async def test_conflicting_policies_are_told_to_the_requester(world: Product) -> None:
    """The request failed: the requester learns which policies are in each other's way."""
    async with world.running():
        await world.ask("batch-01")
        chat = world.microsoft.world.personal(TARO)
        await world.until(lambda: bool(world.microsoft.posted(chat)))
        text = str(world.microsoft.posted(chat)[0].card)
        assert "Standard-Nodes" in text
        assert "Batch-Nodes" in text
