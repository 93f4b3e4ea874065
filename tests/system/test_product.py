"""The product's promises to its users, with the whole program over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.text.escape import unwrapped
from tests.fakes.aws_faults import Loss
from tests.fakes.card_text import shown, words
from tests.fakes.people import HANAKO, ICHIRO, MEI, TARO
from tests.fakes.product import CANCELLING, EVERY_ROLE, UNPACED, Product, product
from tests.fakes.teams_world import APPROVERS


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Teams; the bot is not started."""
    async with product(monkeypatch, tmp_path, rates=UNPACED) as world:
        yield world


GIVE_BACK = "'verb': 'give_back'"


def has_buttons(card: object) -> bool:
    """True if the card has a button to approve."""
    return "'verb': 'approve'" in str(card)


async def test_approval_over_http_sends_one_signal_a_note_and_a_direct_message_and_updates_the_card(
    world: Product,
) -> None:
    """The signal has the person's name and comment. The direct message has a command to start a session."""
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
    assert "SendAutomationSignal" in unwrapped(shown(world.replies(card)[0].card))
    assert "start-session" in str(world.microsoft.posted(world.microsoft.world.personal(TARO))[0].card)


async def test_late_clicks_send_no_signal_and_are_answered_with_the_decision(world: Product) -> None:
    """The clicks are by the same and by another person. The answers name who decided, and have the comment."""
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
    """Return a copy of the card, as shown by a client that misses all later updates."""
    return deepcopy(card)


async def test_card_shows_a_console_decision_that_was_made_while_the_bot_was_down(world: Product) -> None:
    """After the next start, a sweep finds the decision without an event."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
    world.aws.events.deliver(Delivery.NEVER)
    await world.console(request, "reject", "from the console")
    async with world.running():
        await world.until(lambda: "from the console" in str(world.cards(request)[0].card))
    assert not has_buttons(world.cards(request)[0].card)
    assert len(world.replies(card)) == 1


async def test_sweep_alone_posts_the_card_when_all_events_are_lost(world: Product) -> None:
    """Events only make the bot faster; the sweep finds every request without them."""
    world.aws.events.deliver(Delivery.NEVER)
    world.sweep_seconds = 0.2
    async with world.running():
        assert has_buttons((await world.card(await world.ask())).card)


async def test_click_is_answered_applying_while_aws_does_not_answer(world: Product) -> None:
    """No signal is sent until AWS answers. Then the card shows the approval."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        with world.aws.faults.hold("GetAutomationExecution") as held:
            answer = await world.click(HANAKO, card, "approve")  # test_deciding proves the number of seconds
            assert words("banner.applying") in str(answer["value"])
            assert not has_buttons(answer["value"])
            assert world.signals() == 0
            held.release()
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert world.signals() == 1


async def test_signal_with_a_lost_reply_is_sent_once(world: Product) -> None:
    """The signal took effect and its reply was lost: no second signal is sent, and the card shows the outcome."""
    async with world.running():
        request = await world.ask()
        card = await world.card(request)
        world.aws.faults.lose_reply("SendAutomationSignal", how=Loss.CLOSED)
        await world.click(HANAKO, card, "approve")
        await world.until(lambda: "Approved by" in str(world.cards(request)[0].card))
    assert world.signals() == 1


async def test_button_of_a_level_that_is_already_approved_sends_no_signal(world: Product) -> None:
    """A later click on the first level's button does not count for the second level."""
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


async def test_requester_cannot_approve_their_own_request(world: Product) -> None:
    """The click is refused, and the card keeps its buttons and the comment."""
    async with world.running():
        card = await world.card(await world.ask())
        answer = await world.click(TARO, card, "approve", "it is me")
        assert answer["statusCode"] == 200
        assert has_buttons(answer["value"])
        assert "it is me" in str(answer["value"])
    assert world.signals() == 0


async def test_person_of_a_team_that_lost_the_shared_channel_cannot_approve(world: Product) -> None:
    """Teams reports that the channel is no longer shared with the team, without naming the team's people."""
    async with world.running():
        first, second = [await world.card(await world.ask()) for _ in range(2)]
        await world.click(HANAKO, first, "approve")
        world.microsoft.world.conversations[APPROVERS].members.remove(MEI)
        await world.microsoft.post_channel_event(world.bot_url, HANAKO, APPROVERS, "channelUnshared")
        answer = await world.click(MEI, second, "approve")
        assert words("notice.not_approver") in str(answer["value"])
    assert world.signals() == 1


@pytest.mark.parametrize("first", ["event", "sweep"])
async def test_requester_is_notified_of_conflicting_policies(world: Product, first: str) -> None:
    """The request failed: a direct message names the policies that conflict.

    Only the event names them. If a sweep finds the request first, the message names them once the event comes.
    """
    chat = world.microsoft.world.personal(TARO)
    async with world.running() as program:
        if first == "sweep":
            world.aws.events.deliver(Delivery.HELD)
        await world.ask("batch-01")
        if first == "sweep":
            await program.services.sweep.sweep()
            await world.until(lambda: bool(world.microsoft.posted(chat)))
            assert "Standard-Nodes" not in str(world.microsoft.posted(chat)[0].card)
            world.aws.events.release()
        await world.until(lambda: any("Standard-Nodes" in str(each.card) for each in world.microsoft.posted(chat)))
    assert "Batch-Nodes" in str(world.microsoft.posted(chat)[0].card)


# --- revocations and cancellations


async def approved(world: Product) -> tuple[str, Any]:
    """Have Hanako approve a request; return its id and its card with the button to revoke."""
    request = await world.ask()
    await world.click(HANAKO, await world.card(request), "approve")
    await world.until(lambda: "'verb': 'revoke'" in str(world.cards(request)[0].card))
    return request, world.cards(request)[0]


async def test_approver_revokes_access(world: Product) -> None:
    """AWS gets one Revoke signal in the approver's name. Card and thread show it. Late clicks send no signal.

    Without the roles for it, nobody can give access back or end a session: open sessions stay open.
    """
    async with world.running():
        request, card = await approved(world)
        await asyncio.to_thread(world.aws.control.use, request, "open")
        early = _copy(card)
        answer = await world.click(ICHIRO, card, "revoke", "対応終了")
        assert "Revoked by" in str(answer["value"])
        await world.until(lambda: "access was revoked" in str(world.direct_messages(TARO)[-1].card))
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
    assert "SendAutomationSignal Revoke" in unwrapped(shown(world.replies(card)[-1].card))
    assert "outside" not in str(world.replies(card)[-1].card)
    assert all("田中 一郎" in str(each["value"]) for each in late)
    messages = str([each.card for each in (*world.direct_messages(TARO), *world.cards(request))])
    assert not any(verb in messages for verb in (GIVE_BACK, "'verb': 'end_sessions'"))
    assert world.aws.calls("TerminateSession") == []


async def test_simultaneous_revocations_over_http_send_one_signal(world: Product) -> None:
    """Both answers name the person whose signal was sent."""
    async with world.running():
        _, card = await approved(world)
        answers = await asyncio.gather(*(world.click(who, card, "revoke") for who in (ICHIRO, MEI)))
    assert [call.params["SignalType"] for call in world.aws.calls("SendAutomationSignal")] == ["Approve", "Revoke"]
    (effect,) = world.aws.effects("Revoke")
    winner = next(who for who in (ICHIRO, MEI) if effect.by.endswith(who.upn))
    assert all(winner.name in str(answer["value"]) for answer in answers)


async def test_revocation_with_a_lost_reply_is_sent_once(world: Product) -> None:
    """The state in AWS confirms the revocation, and the thread names the person."""
    async with world.running():
        request, card = await approved(world)
        world.aws.faults.lose_reply("SendAutomationSignal", how=Loss.CLOSED)
        await world.click(ICHIRO, card, "revoke")
        await world.until(lambda: "Revoked by" in str(world.cards(request)[0].card))
        await world.until(lambda: len(world.replies(card)) == 2)
    assert world.signals() == 2
    assert "田中 一郎" in str(world.replies(card)[-1].card)


async def test_approver_revokes_access_and_ends_its_sessions_but_no_others(world: Product) -> None:
    """Two people have access to one node. AWS gets one call to end a session, in the approver's name."""
    world.toml += EVERY_ROLE
    control = world.aws.control
    async with world.running():
        request, card = await approved(world)
        other = await asyncio.to_thread(partial(control.request_access, by="priya.nair@example.com"))
        await world.console(other, "approve")
        (ended,), (left,) = [await asyncio.to_thread(control.use, each, "open") for each in (request, other)]
        await world.click(ICHIRO, card, "end_sessions")
        await world.until(lambda: "1 session ended by" in shown(world.cards(request)[0].card))
    assert [effect.ops_item_id for effect in world.aws.effects("Revoke")] == [request]
    (call,) = world.aws.calls("TerminateSession")
    assert call.params == {"SessionId": ended}
    assert call.caller.endswith("assumed-role/NodeAccessEndSessions/ichiro.tanaka@example.com")
    active = await asyncio.to_thread(world.aws.client("ssm").describe_sessions, State="Active")
    assert [each["SessionId"] for each in active["Sessions"]] == [left]


@pytest.mark.parametrize("accepted", [True, False])
async def test_requester_gives_access_back_in_a_role_of_its_own_if_aws_accepts_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, accepted: bool
) -> None:
    """AWS gets one Revoke in the requester's name. If it refuses that, access runs on, and the button goes away."""
    assumed = Assumptions(requesters_may_revoke=accepted)
    async with product(monkeypatch, tmp_path, rates=UNPACED, assumed=assumed) as world:
        world.toml += EVERY_ROLE
        async with world.running():
            request, _ = await approved(world)
            await world.until(lambda: GIVE_BACK in str(world.direct_messages(TARO)[0].card))
            await world.click(TARO, world.direct_messages(TARO)[0], "give_back")
            await world.until(lambda: GIVE_BACK not in str(world.direct_messages(TARO)[0].card))
            await world.until(lambda: ("Given back by" in shown(world.cards(request)[0].card)) is accepted)
    revocation = world.aws.calls("SendAutomationSignal")[-1]
    assert revocation.params["SignalType"] == "Revoke"
    assert revocation.caller.endswith("assumed-role/NodeAccessGiveBack/taro.yamada@example.com")
    assert len(world.aws.effects("Revoke")) == accepted


async def waiting(world: Product) -> str:
    """Let the bot's file allow cancellations, and make a request; return its id. Call this before the bot starts."""
    world.toml += CANCELLING
    return await world.ask()


async def test_requester_cancels_from_their_own_chat(world: Product) -> None:
    """AWS gets one stop call in the requester's name. Card and thread show it. Late clicks make no call."""
    request = await waiting(world)
    async with world.running():
        card = _copy(await world.card(request))
        message = _copy(await world.direct_message(TARO))
        answer = await world.click(TARO, message, "cancel")
        assert "Your request was cancelled." in shown(answer["value"])
        await world.until(lambda: "Cancelled by" in str(world.cards(request)[0].card))
        await world.until(lambda: len(world.replies(card)) == 1)
        late = [await world.click(TARO, message, "cancel"), await world.click(HANAKO, card, "approve")]
    (call,) = world.aws.calls("StopAutomationExecution")
    assert call.caller.endswith("assumed-role/NodeAccessCanceller/taro.yamada@example.com")
    assert call.params["Type"] == "Cancel"
    assert world.signals() == 0
    assert all("already cancelled" in str(each["value"]) for each in late)
    assert not has_buttons(world.cards(request)[0].card)
    assert "StopAutomationExecution Cancel" in unwrapped(shown(world.replies(card)[0].card))


async def test_cancellation_with_a_lost_reply_is_sent_once(world: Product) -> None:
    """The state in AWS confirms the cancellation, and the card shows it."""
    request = await waiting(world)
    async with world.running():
        message = await world.direct_message(TARO)
        world.aws.faults.lose_reply("StopAutomationExecution", how=Loss.CLOSED)
        await world.click(TARO, message, "cancel")
        await world.until(lambda: "Cancelled by" in str(world.cards(request)[0].card))
    assert len(world.aws.calls("StopAutomationExecution")) == 1


async def test_forged_cancellations_are_refused(world: Product) -> None:
    """An approver and the requester click in the channel, and an approver in the requester's chat. AWS gets no stop call."""
    request = await waiting(world)
    async with world.running():
        card = await world.card(request)
        message = await world.direct_message(TARO)
        for who, place in ((HANAKO, card), (TARO, card), (HANAKO, message)):
            forged = world.microsoft.pressed(who, message, "cancel")
            forged["conversation"] = world.microsoft.pressed(who, place, "approve" if place is card else "cancel")[
                "conversation"
            ]
            status, body = await world.microsoft.send(world.bot_url, forged)
            assert (status, body["type"]) == (200, "application/vnd.microsoft.activity.message")
    assert world.aws.calls("StopAutomationExecution") == []


async def test_direct_message_has_no_cancel_button_if_the_account_has_no_cancel_role(world: Product) -> None:
    """The bot cancels only in this role."""
    async with world.running():
        await world.ask()
        await world.until(lambda: bool(world.direct_messages(TARO)))
        assert "'verb': 'cancel'" not in str(world.direct_messages(TARO)[0].card)
