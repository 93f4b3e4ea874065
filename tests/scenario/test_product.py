"""What the product promises its users, kept by the whole program over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.aws.event_bus import Delivery
from tests.fakes.aws_faults import Loss
from tests.fakes.card_text import shown, words
from tests.fakes.people import HANAKO, ICHIRO, MEI, TARO
from tests.fakes.product import CANCELLING, Product, product


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


# --- what is taken back


async def approved(world: Product) -> tuple[str, Any]:
    """A request that Hanako approved, and its card with a button to revoke."""
    request = await world.ask()
    await world.click(HANAKO, await world.card(request), "approve")
    await world.until(lambda: "'verb': 'revoke'" in str(world.cards(request)[0].card))
    return request, world.cards(request)[0]


async def test_access_is_revoked(world: Product) -> None:
    """One signal of type Revoke in the approver's name; card, thread and requester are told by whom; late ones 0."""
    async with world.running():
        request, card = await approved(world)
        early = _copy(card)
        answer = await world.click(ICHIRO, card, "revoke", "対応終了")
        assert "Revoked by" in str(answer["value"])
        await world.until(lambda: "access was revoked" in str(world.told(TARO)[-1].card))
        await world.until(lambda: len(world.replies(card)) == 2)
        late = [await world.click(who, early, "revoke") for who in (HANAKO, ICHIRO, TARO)]
    approval, revocation = world.aws.calls("SendAutomationSignal")
    assert (approval.params["SignalType"], revocation.params["SignalType"]) == ("Approve", "Revoke")
    assert revocation.caller.endswith("assumed-role/NodeAccessApprover/ichiro.tanaka@example.com")
    assert revocation.params["Payload"] == {"Comment": ["対応終了 (田中 一郎 via Microsoft Teams)"]}
    assert [effect.kind for effect in world.aws.effects()] == ["Approve", "Revoke"]
    now = str(world.cards(request)[0].card)
    assert all(each in now for each in ("Access revoked", "田中 一郎", "対応終了"))
    assert "'verb': 'revoke'" not in now
    assert "SendAutomationSignal Revoke" in str(world.replies(card)[-1].card)
    assert "outside" not in str(world.replies(card)[-1].card)
    assert all("田中 一郎" in str(each["value"]) for each in late)


async def test_two_revokers_at_once(world: Product) -> None:
    """One call, and both see who it was."""
    async with world.running():
        _, card = await approved(world)
        answers = await asyncio.gather(*(world.click(who, card, "revoke") for who in (ICHIRO, MEI)))
    assert [call.params["SignalType"] for call in world.aws.calls("SendAutomationSignal")] == ["Approve", "Revoke"]
    (effect,) = world.aws.effects("Revoke")
    winner = next(who for who in (ICHIRO, MEI) if effect.by.endswith(who.upn))
    assert all(winner.name in str(answer["value"]) for answer in answers)


async def test_a_revocation_whose_reply_is_lost(world: Product) -> None:
    """One call; what AWS shows settles it, and it is told by name."""
    async with world.running():
        request, card = await approved(world)
        world.aws.faults.lose_reply("SendAutomationSignal", how=Loss.CLOSED)
        await world.click(ICHIRO, card, "revoke")
        await world.until(lambda: "Revoked by" in str(world.cards(request)[0].card))
        await world.until(lambda: len(world.replies(card)) == 2)
    assert world.signals() == 2
    assert "田中 一郎" in str(world.replies(card)[-1].card)


async def waiting(world: Product) -> str:
    """A request that waits in an account whose requests can be cancelled."""
    world.toml += CANCELLING
    return await world.ask()


async def test_a_request_is_cancelled(world: Product) -> None:
    """One StopAutomationExecution in the requester's name, from their own chat; the channel is told; late clicks 0."""
    request = await waiting(world)
    async with world.running():
        card = _copy(await world.card(request))
        await world.until(lambda: bool(world.told(TARO)))
        (message,) = world.told(TARO)
        answer = await world.click(TARO, message, "cancel")
        assert "Your request was cancelled." in shown(answer["value"])
        await world.until(lambda: "Cancelled by" in str(world.cards(request)[0].card))
        await world.until(lambda: len(world.replies(card)) == 1)
        late = [await world.click(TARO, message, "cancel"), await world.click(HANAKO, card, "approve")]
    (call,) = world.aws.calls("StopAutomationExecution")
    assert call.caller.endswith("assumed-role/NodeAccessCanceller/taro.yamada@example.com")
    assert call.params["Type"] == "Cancel"
    assert world.signals() == 0
    assert all("cancelled already" in str(each["value"]) for each in late)
    assert not has_buttons(world.cards(request)[0].card)
    assert "StopAutomationExecution Cancel" in str(world.replies(card)[0].card)


async def test_a_cancellation_whose_reply_is_lost(world: Product) -> None:
    """One call; what AWS shows settles it, and it is told by name."""
    request = await waiting(world)
    async with world.running():
        await world.until(lambda: bool(world.told(TARO)))
        world.aws.faults.lose_reply("StopAutomationExecution", how=Loss.CLOSED)
        await world.click(TARO, world.told(TARO)[0], "cancel")
        await world.until(lambda: "Cancelled by" in str(world.cards(request)[0].card))
    assert len(world.aws.calls("StopAutomationExecution")) == 1


async def test_a_request_is_cancelled_by_nobody_else(world: Product) -> None:
    """The button on a forged click from the channel, by an approver and by the requester: 0 calls."""
    request = await waiting(world)
    async with world.running():
        card = await world.card(request)
        await world.until(lambda: bool(world.told(TARO)))
        message = world.told(TARO)[0]
        for who, place in ((HANAKO, card), (TARO, card), (HANAKO, message)):
            forged = world.microsoft.pressed(who, message, "cancel")
            forged["conversation"] = world.microsoft.pressed(who, place, "approve" if place is card else "cancel")[
                "conversation"
            ]
            status, body = await world.microsoft.send(world.bot_url, forged)
            assert (status, body["type"]) == (200, "application/vnd.microsoft.activity.message")
    assert world.aws.calls("StopAutomationExecution") == []


async def test_where_no_cancel_role_is_set_up_there_is_no_button(world: Product) -> None:
    """The requester is told that the request waits, and no more."""
    async with world.running():
        await world.ask()
        await world.until(lambda: bool(world.told(TARO)))
        assert "'verb': 'cancel'" not in str(world.told(TARO)[0].card)
