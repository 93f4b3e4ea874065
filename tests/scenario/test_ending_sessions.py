"""Sessions that people end: which, in whose name, when they are tried again, and when nothing is ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.access.endings import CONFIRMED_WITHIN, UNREAD_AFTER, Ending, EndingStage, EndState, Stopped
from bot.domain.access.sessions import Access, access_of, session_names
from bot.domain.decision import DecisionEvent, DecisionState, Outcome
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import (
    AwsThrottled,
    AwsUnavailable,
    EndingRoleRefused,
    EndRefused,
    RoleSession,
    SessionsDenied,
    SignalLost,
    SignalRefused,
)
from bot.sandbox.aws.jit.assumptions import SessionEnd
from bot.service.checks.loop import REPEATED_AFTER
from bot.service.clicks.attempt import INVOKE_BUDGET
from bot.service.clicks.click import Answer, Verb
from bot.service.decisions.state_check import FRESH
from tests.fakes.aws import ACCOUNT
from tests.fakes.aws import TARO as REQUESTER
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.sessions import TOKEN_ROLE
from tests.fakes.world import END_SESSIONS_ROLE, World, code_of, current_configuration, new_world

NODE = "i-02999bd501754105a"
TARO = f"{TOKEN_ROLE}/taro.yamada@example.com"
JIRO = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/jiro@example.com"
MINUTE, HOURS = 60, 3600
BOTH, ALONE = "Revoke and end sessions", "End open sessions…"


def ending_world() -> World:
    """Return a world whose account has a role that ends sessions."""
    return new_world(configuration=current_configuration(end_sessions_role=END_SESSIONS_ROLE))


async def granted(world: World, number: int = 1, *, requester: str = REQUESTER) -> RequestKey:
    """Add a request, grant access for four hours, and return its key."""
    key = world.aws.add(number, requester=requester)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    return key


async def over(world: World, key: RequestKey) -> None:
    """Let the access of a request end, and let a minute pass."""
    await world.pass_time(key, 4 * HOURS + MINUTE)


async def asked(world: World, key: RequestKey) -> Answer:
    """Click "End open sessions…" on the card, once access has ended."""
    return await world.press(key, HANAKO, Verb.END_SESSIONS, comment="The incident is over.")


async def one_asked(ends: SessionEnd = SessionEnd.ENDS) -> tuple[World, RequestKey, str]:
    """Return a world, a request and its session: access has ended, and a person has clicked to end the session.

    `ends` is what AWS does at the call.
    """
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    world.sessions.ends = ends
    await over(world, key)
    await asked(world, key)
    return world, key, name


async def revoked(world: World, key: RequestKey) -> Answer:
    """Click "Revoke and end sessions" on the card, and wait for the answer."""
    async with world.running():
        clicking = asyncio.create_task(world.press(key, HANAKO, Verb.END_SESSIONS))
        await world.clock.advance(INVOKE_BUDGET)
        return await clicking


async def ending(world: World, key: RequestKey) -> Ending:
    """Return the only ending of a request."""
    (found,) = (await world.row(key)).endings
    return found


async def states(world: World, key: RequestKey) -> dict[str, EndState]:
    """Return the state of each session of the only ending."""
    return {each.id: each.state for each in (await ending(world, key)).sessions}


def ended(world: World) -> list[str]:
    """Return the ids of the sessions that AWS was asked to end, in this order."""
    return [name for name, _ in world.sessions.end_calls]


async def trail(world: World) -> list[tuple[str, str, str]]:
    """Return event, session and detail of each entry of the trail about ended sessions."""
    entries = await world.store.audit(world.clock.now() - timedelta(days=1))
    return [(each.event, each.session, each.detail) for each in entries if each.event.startswith("end")]


async def problems(world: World) -> dict[str, str]:
    """Make the checks, with a repetition, and return the problems."""
    making = asyncio.create_task(world.checks.make())
    await world.clock.advance(REPEATED_AFTER)
    await making
    return dict(world.telemetry.health.problems())


def count(world: World, result: str) -> float | None:
    """Return how many sessions had this result, as the metric says."""
    return world.registry.get_sample_value("node_access_session_ends_total", {"result": result})


async def test_session_that_is_open_after_its_access_is_ended_in_the_name_of_the_person() -> None:
    """AWS gets one call in the role that ends sessions. The row and the trail say that the session has ended."""
    world, key, name = await one_asked()
    await world.pass_time(key, 10)
    assert world.sessions.end_calls == [(name, RoleSession(END_SESSIONS_ROLE, HANAKO.session_name))]
    assert await states(world, key) == {name: EndState.ENDED}
    assert await trail(world) == [("end_asked", name, NODE), ("end_confirmed", name, NODE)]
    assert count(world, "ended") == 1
    await world.pass_time(key, HOURS)
    assert (await ending(world, key)).stage is EndingStage.OVER
    assert ended(world) == [name]
    assert not (await world.row(key)).watched


async def test_each_session_is_ended_a_second_after_the_last_and_one_that_aws_denies_is_tried_again() -> None:
    """The other sessions do not wait for it. The next round is a minute after the click."""
    world = ending_world()
    key = await granted(world)
    denied, other = (world.sessions.open(NODE, world.clock.now(), owner=TARO) for _ in range(2))
    world.sessions.ends_of[denied] = SessionEnd.DENIED
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 10)
    assert await states(world, key) == {denied: EndState.DENIED, other: EndState.ENDED}
    assert ("end_denied", denied, "AccessDeniedException") in await trail(world)
    assert (count(world, "denied"), ended(world)) == (1, [denied, other])
    world.sessions.ends_of[denied] = SessionEnd.ENDS
    await world.pass_time(key, MINUTE)
    assert await states(world, key) == {denied: EndState.ENDED, other: EndState.ENDED}


async def test_role_that_lacks_the_permission_to_end_sessions_is_a_problem_until_aws_accepts_a_call() -> None:
    """Only a real call shows it. The advice names the file to compare."""
    world, key, name = await one_asked(SessionEnd.DENIED)
    await world.pass_time(key, 10)
    assert "end-sessions-policy.json" in (await problems(world))[f"decisions {END_SESSIONS_ROLE}"]
    world.sessions.ends = SessionEnd.ENDS
    await world.pass_time(key, MINUTE)
    assert await states(world, key) == {name: EndState.ENDED}
    assert f"decisions {END_SESSIONS_ROLE}" not in await problems(world)


async def test_session_that_aws_accepts_to_end_and_still_lists_is_not_confirmed() -> None:
    """A status of 200 proves nothing. It is tried again in each round."""
    world, key, name = await one_asked(SessionEnd.STAYS)
    await world.pass_time(key, 10)
    assert await states(world, key) == {name: EndState.ASKED}
    await world.pass_time(key, CONFIRMED_WITHIN.total_seconds())
    assert await states(world, key) == {name: EndState.UNCONFIRMED}
    world.sessions.ends = SessionEnd.ENDS
    await world.pass_time(key, MINUTE)
    assert (await states(world, key), ended(world)) == ({name: EndState.ENDED}, [name, name])


async def test_session_that_aws_lists_neither_as_open_nor_as_ended_is_not_confirmed() -> None:
    """So may a session be whose node is offline. The card does not say that it has ended."""
    world, key, name = await one_asked(SessionEnd.STAYS)
    await world.pass_time(key, 10)
    listed = world.sessions.sessions.pop(name)
    await world.pass_time(key, CONFIRMED_WITHIN.total_seconds())
    assert await states(world, key) == {name: EndState.UNCONFIRMED}
    assert "1 session ended" not in card(world)
    world.sessions.sessions[name] = replace(listed, open=False, ended_at=world.clock.now())
    await world.pass_time(key, MINUTE)
    assert await states(world, key) == {name: EndState.ENDED}


async def test_requesters_on_one_node_keep_their_sessions_when_anothers_are_ended() -> None:
    """A session of an unknown owner, of an unknown type or of standard access is left open, too."""
    world = ending_world()
    key = await granted(world)
    await granted(world, 2, requester=JIRO)
    mine = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    theirs = world.sessions.open(NODE, world.clock.now(), owner=f"{TOKEN_ROLE}/jiro@example.com")
    nobodys = world.sessions.open(NODE, world.clock.now(), owner=f"{TOKEN_ROLE}/6f0d")
    untyped = world.sessions.open(NODE, world.clock.now(), owner=TARO, access_type=None)
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 2 * HOURS)
    assert ended(world) == [mine]
    assert all(world.sessions.sessions[each].open for each in (theirs, nobodys, untyped))
    assert (await ending(world, key)).left == 2


async def test_automatically_approved_access_of_another_person_leaves_a_nameless_session_open() -> None:
    """Such a request has no row. Without it, the session would be the requester's."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now())
    own = access_of(world.aws.requests[key])
    assert own is not None
    world.sessions.access.append(Access("another", JIRO, session_names(JIRO), own.nodes, own.begins, own.ends))
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 10)
    assert (ended(world), (await ending(world, key)).left) == ([], 1)
    world.sessions.access.clear()
    await world.pass_time(key, MINUTE)
    assert ended(world) == [name]


async def test_access_that_ended_shortly_before_leaves_a_nameless_session_open() -> None:
    """The clocks of AWS and nodes differ: the session may have been started with the access that ended."""
    world = ending_world()
    key = await granted(world)
    own = access_of(world.aws.requests[key])
    assert own is not None
    ended_at = own.begins - timedelta(seconds=90)
    earlier = Access("another", JIRO, session_names(JIRO), own.nodes, own.begins - timedelta(hours=1), ended_at)
    world.sessions.access.append(earlier)
    world.sessions.open(NODE, own.begins - timedelta(seconds=50))
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 10)
    assert (ended(world), (await ending(world, key)).left) == ([], 1)


async def test_access_that_appears_between_plan_and_call_keeps_the_session_open() -> None:
    """Each session is attributed again right before its call."""
    world = ending_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now())
    await over(world, key)
    await asked(world, key)
    await world.reconciler.reconcile(key)
    assert list((await states(world, key)).values()) == [EndState.FOUND]
    own = access_of(world.aws.requests[key])
    assert own is not None
    world.sessions.access.append(Access("another", JIRO, session_names(JIRO), own.nodes, own.begins, own.ends))
    await world.pass_time(key, 2 * HOURS)
    assert ended(world) == []


@pytest.mark.parametrize(
    ("fault", "goes_on"),
    [
        (None, True),
        (SignalLost("ReadTimeout"), True),
        (SignalRefused("InvalidAutomationSignalException", denied=False), False),
    ],
    ids=["accepted", "unknown", "refused"],
)
async def test_sessions_are_ended_only_if_the_revocation_was_sent(fault: Exception | None, *, goes_on: bool) -> None:
    """Without an answer of AWS it goes on. If AWS refuses the revocation, no session is ended."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    if fault:
        world.aws.before["signal"] = [fault]
    await revoked(world, key)
    await world.pass_time(key, 2)
    assert ended(world) == ([name] if goes_on else [])
    assert (await ending(world, key)).stopped is (None if goes_on else Stopped.NOT_REVOKED)
    await world.pass_time(key, 2 * MINUTE)
    assert ended(world) == ([name] if goes_on else [])


async def test_later_refusal_of_a_revocation_without_an_answer_stops_the_ending() -> None:
    """The answer of AWS may come after another process went on without it."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    world.aws.before["signal"] = [SignalLost("ReadTimeout")]
    await revoked(world, key)
    revocation = (await world.row(key)).decisions[0]
    refused = revocation.after(DecisionEvent.REFUSED, at=world.clock.now(), outcome=Outcome.AWS_REFUSED)
    await world.rows.apply(key, lambda row: row.with_decision(refused))
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await world.pass_time(key, 2 * MINUTE)
    assert ended(world) == [name]
    assert (await ending(world, key)).stopped is Stopped.NOT_REVOKED


async def test_click_after_a_revocation_that_was_refused_ends_sessions_once_its_own_revocation_is_accepted() -> None:
    """The ending of the first click may not be stopped in the row yet. It must not swallow the second."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    world.aws.before["signal"] = [SignalRefused("InvalidAutomationSignalException", denied=False)]
    for person in (HANAKO, ICHIRO):
        clicking = asyncio.create_task(world.press(key, person, Verb.END_SESSIONS))
        await world.clock.advance(INVOKE_BUDGET)
        await clicking
    await world.pass_time(key, 10)
    assert (await world.row(key)).endings[-1].person.user == ICHIRO.user
    assert ended(world) == [name]


async def test_nothing_is_ended_while_the_revocation_waits() -> None:
    """Its turn may come later."""
    world = ending_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await world.crash_in(world.pressed(key, HANAKO, Verb.END_SESSIONS), "prepare")
    await world.shown(key)
    assert (await world.row(key)).decisions[0].state is DecisionState.CLAIMED
    assert ended(world) == []
    await world.pass_time(key, 30)
    await world.reconciler.drain()
    await world.pass_time(key, 10)
    assert world.aws.requests[key].status is Status.REVOKED
    assert len(ended(world)) == 1


async def test_sessions_that_start_after_the_revocation_are_ended_in_later_rounds() -> None:
    """Credentials from before it may outlive it. After an hour, no round follows."""
    world = ending_world()
    key = await granted(world)
    await revoked(world, key)
    await world.pass_time(key, 10)
    first = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await world.pass_time(key, MINUTE)
    assert ended(world) == [first]
    await world.pass_time(key, HOURS)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await world.pass_time(key, HOURS)
    assert (ended(world), (await ending(world, key)).stage) == ([first], EndingStage.OVER)


async def test_person_who_lost_the_right_ends_no_further_session() -> None:
    """Permission is checked again before each call."""
    world = ending_world()
    key = await granted(world)
    for _ in range(2):
        world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await over(world, key)
    await asked(world, key)
    while not ended(world):
        await world.reconciler.reconcile(key)
    world.people.people = [each for each in world.people.people if each is not HANAKO]
    await world.pass_time(key, 2 * HOURS)
    assert len(ended(world)) == 1
    assert (await ending(world, key)).stopped is Stopped.NOT_PERMITTED
    assert [each for each in await trail(world) if each[0] == "ending_stopped"] == [("ending_stopped", "", "")]


async def test_newer_access_of_the_same_person_to_the_node_stops_the_ending() -> None:
    """Their new session must not be cut."""
    world = ending_world()
    key = await granted(world)
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 10)
    await granted(world, 2)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await world.pass_time(key, 2 * HOURS)
    assert ended(world) == []
    assert (await ending(world, key)).stopped is Stopped.NEW_ACCESS


@pytest.mark.parametrize("taken_over", range(1, 6))
async def test_restart_after_any_step_goes_on_without_a_second_result(taken_over: int) -> None:
    """Another process continues from the row. With the call under way, the session is asked for once more at most."""
    world = ending_world()
    key = await granted(world)
    names = [world.sessions.open(NODE, world.clock.now(), owner=TARO) for _ in range(2)]
    await over(world, key)
    await asked(world, key)
    for _ in range(taken_over):
        await world.clock.advance(1)
        await world.reconciler.reconcile(key)
    world.owner = "replica-2"
    world.build()
    await world.pass_time(key, 2 * HOURS)
    assert await states(world, key) == dict.fromkeys(names, EndState.ENDED)
    assert sorted(ended(world)) == names


async def test_process_that_dies_in_the_call_leaves_a_session_that_is_asked_for_again() -> None:
    """Repeating the call is safe."""
    world, key, name = await one_asked()
    world.sessions.before_end[name] = [KeyboardInterrupt()]  # as if the process were killed
    await world.reconciler.reconcile(key)
    with pytest.raises(KeyboardInterrupt):
        await world.reconciler.reconcile(key)
    assert await states(world, key) == {name: EndState.ASKED}
    world.owner = "replica-2"
    world.build()
    await world.pass_time(key, 2 * MINUTE)
    assert (await states(world, key), ended(world)) == ({name: EndState.ENDED}, [name, name])


@pytest.mark.parametrize(
    ("fault", "state", "why"),
    [
        (AwsThrottled("ThrottlingException"), EndState.FAILED, None),
        (AwsUnavailable("ReadTimeout"), EndState.ASKED, None),
        (EndRefused("ValidationException", denied=False), EndState.FAILED, None),
        (EndingRoleRefused("AccessDenied", denied=True), EndState.DENIED, Stopped.NO_ROLE),
    ],
    ids=str,
)
async def test_each_failure_of_the_call_is_kept_and_only_a_lost_role_stops_the_ending(
    fault: Exception, state: EndState, why: Stopped | None
) -> None:
    """A call without an answer may have had its effect: the next reads show it."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    world.sessions.before_end[name] = [fault]
    await over(world, key)
    await asked(world, key)
    await world.pass_time(key, 3)
    assert (await states(world, key), (await ending(world, key)).stopped) == ({name: state}, why)
    await world.pass_time(key, 2 * MINUTE)
    assert ended(world) == ([name] if why else [name, name])


async def test_role_that_was_removed_from_the_configuration_ends_nothing() -> None:
    """The bot's own credentials never replace it."""
    world = ending_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await over(world, key)
    await asked(world, key)
    await world.reconciler.reconcile(key)
    world.configuration.replace(current_configuration().value)
    await world.pass_time(key, HOURS)
    assert (ended(world), (await ending(world, key)).stopped) == ([], Stopped.NO_ROLE)


@pytest.mark.parametrize("unread", ["sessions", "access", "request", "roster"])
async def test_nothing_is_ended_while_sessions_access_or_approvers_cannot_be_read(unread: str) -> None:
    """It is tried again for an hour. A list of access that lacks the request itself is not complete."""
    world, key, name = await one_asked()
    match unread:
        case "sessions":
            world.sessions.failure = AwsUnavailable("InternalServerError")
        case "access":
            world.sessions.unlisted = AwsUnavailable("InternalServerError")
        case "request":
            world.sessions.requests = {}
        case "roster":
            world.people.failing = True
    await world.pass_time(key, 10 * MINUTE)
    assert ended(world) == []
    assert (await ending(world, key)).failures > UNREAD_AFTER
    world.sessions.failure = world.sessions.unlisted = None
    world.people.failing, world.sessions.requests = False, world.aws.requests
    await world.pass_time(key, 2 * MINUTE)
    assert ended(world) == [name]


@pytest.mark.parametrize("slow", ["list of access", "store"])
async def test_session_is_not_ended_after_a_read_that_is_older_than_seconds(slow: str) -> None:
    """What was read may no longer be true. It is read again until it is quick enough."""
    world, key, name = await one_asked()
    await world.reconciler.reconcile(key)
    late, call = (world.rows, "apply") if slow == "store" else (world.sessions, "granted")
    setattr(late, call, delayed(getattr(late, call), world))
    for _ in range(5):
        await world.reconciler.reconcile(key)
        await world.clock.advance(MINUTE)
    assert (ended(world), world.sessions.sessions[name].open) == ([], True)
    delattr(late, call)
    await world.pass_time(key, 2 * MINUTE)
    assert ended(world) == [name]


def delayed(call: Callable[..., Awaitable[Any]], world: World) -> Callable[..., Awaitable[Any]]:
    """Return a call whose answer takes longer than a read may be old."""

    async def late(*given: Any, **named: Any) -> Any:
        answer = await call(*given, **named)
        world.clock.set_to(world.clock.now() + FRESH + timedelta(seconds=1))
        return answer

    return late


async def test_nothing_waits_between_the_reads_and_the_call() -> None:
    """Assuming the role may take seconds. Before it, permission, sessions and access would be older than they may be."""
    world = ending_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await over(world, key)
    await asked(world, key)
    preparing = "prepare_end"
    setattr(world.sessions, preparing, delayed(world.sessions.prepare_end, world))  # as slow as STS may be
    for _ in range(2):
        await world.reconciler.reconcile(key)
    assert world.sessions.calls[-4:] == ["prepare_end", "active", "granted", "end"]


async def test_missing_permission_to_list_sessions_stops_the_ending() -> None:
    """It needs an administrator."""
    world = ending_world()
    key = await granted(world)
    await over(world, key)
    await asked(world, key)
    world.sessions.failure = SessionsDenied("AccessDeniedException")
    await world.pass_time(key, 10)
    assert (await ending(world, key)).stopped is Stopped.UNREADABLE


async def test_ending_with_times_of_a_clock_that_was_ahead_goes_on_at_once() -> None:
    """A wrong clock must not leave a session open for hours."""
    world, key, name = await one_asked()
    later = world.clock.now() + timedelta(hours=9)
    await world.rows.apply(key, lambda row: row.with_ending(replace(row.endings[0], next_at=later)))
    assert (await world.row(key)).has_times_ahead(world.clock.now())
    await world.shown(key)
    await world.pass_time(key, 10)
    assert ended(world) == [name]


# --- what people see


def card(world: World, kind: str = "post") -> str:
    """Return the text of the request's card, or of the requester's message, as it is now."""
    return shown(world.chat.of(kind)[0].versions[-1].card)


def buttons(tree: object) -> set[str]:
    """Return the titles of a card's buttons."""
    return {each["title"] for each in nodes(tree) if str(each.get("type")).startswith("Action.")}


def offered(world: World, kind: str = "post") -> set[str]:
    """Return the titles of the buttons of the request's card, or of the requester's message, as they are now."""
    return buttons(world.chat.of(kind)[0].versions[-1].card)


async def watched(world: World, key: RequestKey) -> None:
    """Read the sessions once, and show what they say."""
    await world.clock.advance(MINUTE)
    await world.sweep.sweep()
    await world.session_watch.look()
    await world.shown(key)


async def test_card_offers_to_end_sessions_beside_revoke_and_alone_while_one_is_open() -> None:
    """Without a role, or without an open session after the end, there is no such button."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await watched(world, key)
    assert BOTH in offered(world)
    assert ALONE not in offered(world)
    await over(world, key)
    await watched(world, key)
    assert BOTH not in offered(world)
    assert ALONE in offered(world)
    world.configuration.replace(current_configuration().value)
    await world.shown(key)
    assert ALONE not in offered(world)
    world.configuration.replace(ending_world().configuration.value)
    world.sessions.close(name, world.clock.now())
    await watched(world, key)
    assert ALONE not in offered(world)


async def test_card_and_message_say_who_ends_sessions_why_and_what_aws_confirms() -> None:
    """The session counts as ended at once, not only when sessions are read next. The button is gone meanwhile."""
    world = ending_world()
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await over(world, key)
    await watched(world, key)
    answer = await asked(world, key)
    assert code_of(answer) is NoticeCode.ENDING
    assert "clicked to end the open sessions" in shown(answer.card)
    assert ALONE not in buttons(answer.card)
    await world.reconciler.reconcile(key)
    assert "is ending 1 session…" in card(world)
    await world.pass_time(key, 10)
    for kind in ("post", "direct"):
        assert f"1 session ended by {HANAKO.shown_name}" in card(world, kind)
        assert "The incident is over." in card(world, kind)
        assert "still open" not in card(world, kind)


async def test_answer_to_a_revocation_that_takes_long_offers_no_end_of_sessions() -> None:
    """Neither button can be used until AWS has answered."""
    world = ending_world()
    key = await granted(world)
    world.aws.gates["signal"] = asyncio.Event()
    async with world.running():
        clicking = asyncio.create_task(world.press(key, HANAKO, Verb.REVOKE))
        await world.clock.advance(INVOKE_BUDGET)
        answer = await clicking
        world.aws.gates.pop("signal").set()
    assert code_of(answer) is NoticeCode.APPLYING
    assert not {BOTH, ALONE} & buttons(answer.card)


async def test_second_click_while_sessions_are_ended_changes_nothing() -> None:
    """Its answer says so. Once the ending is over, a further one can begin."""
    world = ending_world()
    key = await granted(world)
    await over(world, key)
    await asked(world, key)
    before = await world.row(key)
    again = await world.press(key, ICHIRO, Verb.END_SESSIONS)
    assert (code_of(again), await world.row(key)) == (NoticeCode.ENDING_ALREADY, before)
    await world.pass_time(key, 2 * HOURS)
    assert code_of(await asked(world, key)) is NoticeCode.ENDING
    assert len((await world.row(key)).endings) == 2


async def test_click_during_a_revocation_of_the_same_person_revokes_and_ends_once() -> None:
    """Two clicks make one signal and one ending."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    async with world.running():
        first, second = (world.press(key, HANAKO, Verb.END_SESSIONS) for _ in range(2))
        both = asyncio.gather(first, second)
        await world.clock.advance(INVOKE_BUDGET)
        await both
    await world.pass_time(key, 10)
    assert (len(world.aws.signals), ended(world)) == (1, [name])
    assert len((await world.row(key)).endings) == 1


async def test_requester_ends_their_own_sessions_in_their_own_chat_once_access_has_ended() -> None:
    """In the role's session with their own name. While access runs, they cannot; no one else can there."""
    world = ending_world()
    key = await granted(world)
    name = world.sessions.open(NODE, world.clock.now(), owner=TARO)
    click = replace(world.withdrawn(key), verb=Verb.END_SESSIONS, personal=True)
    assert (await world.click_handler.click(click)).refused
    await watched(world, key)
    await over(world, key)
    await watched(world, key)
    assert ALONE in offered(world, "direct")
    stranger = replace(click, person=HANAKO)
    assert code_of(await world.click_handler.click(stranger)) is Refusal.NOT_REQUESTER
    assert code_of(await world.click_handler.click(click)) is NoticeCode.ENDING
    await world.pass_time(key, 10)
    assert [(each, session.name) for each, session in world.sessions.end_calls] == [(name, TARO_PERSON.session_name)]
    assert f"1 session ended by {TARO_PERSON.shown_name}" in card(world)


async def test_no_one_can_end_sessions_while_a_process_runs_that_does_not_work_on_it() -> None:
    """During an upgrade, there is no button, and a click on an older card is answered."""
    world = replace(ending_world(), sharing=2)
    key = await granted(world)
    world.sessions.open(NODE, world.clock.now(), owner=TARO)
    await watched(world, key)
    assert BOTH not in offered(world)
    assert code_of(await asked(world, key)) is NoticeCode.UPGRADING
    await over(world, key)
    await watched(world, key)
    assert ALONE not in offered(world)
    assert code_of(await asked(world, key)) is NoticeCode.UPGRADING
    row = await world.row(key)
    assert (row.endings, row.decisions) == ((), ())
