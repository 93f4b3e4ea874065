"""Problems in the log: one event when a problem begins, one when it ends, and none while it only looks different.

Each event raises the alarm for problems, so a figure that changes by itself must not cause one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.domain.request import Verdict, Withdrawal
from bot.ports.aws import AwsUnavailable, Hint, SignalRefused
from bot.ports.teams import ChatProblem, ChatRefused
from bot.sandbox.aws.jit.requests import SecondVote
from bot.service.checks.loop import PERIOD
from bot.service.checks.outcomes import KEPT, Outcomes, Work
from bot.service.clicks.click import Verb
from tests.fakes.aws import ACCOUNT, REGION
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO
from tests.fakes.clock import ManualClock
from tests.fakes.queue import MemoryQueue
from tests.fakes.world import APPROVALS, new_world
from tests.scenario.test_seen_problems import LASTS, PLACE, ROLE, Site, installed

_DAY = timedelta(days=1)
OTHER = "19:other@thread.tacv2"
AUDIENCE = "99999999-8888-4777-8666-555555555555"


@pytest.fixture
def site() -> Site:
    """Return a sound installation with one channel."""
    return installed(new_world())


async def rounds(site: Site, *changes: object) -> list[str]:
    """Make a round of checks after each change, a minute apart. Return the names in the log that problems began."""
    with capture_logs() as logs:
        for change in changes:
            assert callable(change)
            change()
            await site.problems()
            await site.world.clock.advance(PERIOD)
    return [line["check"] for line in logs if line["event"] == "problem_began"]


async def test_clock_whose_difference_varies_by_a_second_is_logged_once(site: Site) -> None:
    """The header Date has whole seconds, so the measured difference varies: here between 89 and 91 seconds."""

    def ahead(seconds: float) -> object:
        return lambda: setattr(site.teams, "ahead", seconds)

    assert await rounds(site, *map(ahead, (89.4, 90.6, 89.4, 90.6))) == ["clock"]


async def test_clock_that_comes_to_differ_more_is_logged_again(site: Site) -> None:
    """From a difference of five minutes on, AWS and Microsoft refuse what the bot signs."""

    def ahead(seconds: float) -> object:
        return lambda: setattr(site.teams, "ahead", seconds)

    assert await rounds(site, *map(ahead, (200, 320))) == ["clock", "clock"]
    assert "more than 5 minutes behind" in site.world.telemetry.health.problems()["clock"]


async def test_expired_tokens_of_different_age_are_logged_once(site: Site) -> None:
    """The machine's clock is ahead, so each activity is refused, and each token seems to have expired at another time."""

    def expired(age: str) -> object:
        return lambda: site.world.outcomes.failed(Work.ACTIVITY, "expired", code="expired", detail=f"{age} ago")

    assert await rounds(site, *map(expired, ("about 20 min", "about 30 min", "about 1 h"))) == ["activities"]


async def test_each_further_person_without_direct_messages_causes_no_event(site: Site) -> None:
    """An app package without the scope `personal` concerns hundreds of people, one after the other."""

    def refused(number: int) -> object:
        return lambda: site.world.outcomes.failed(Work.DIRECT, f"person-{number:02}", code="not_installed")

    assert await rounds(site, *map(refused, range(20))) == ["direct messages"] * 5  # the first five are named
    assert "person-04 and others: upload" in site.world.telemetry.health.problems()["direct messages"]


async def test_problem_names_three_unidentified_requesters_however_often_each_asks(site: Site) -> None:
    """One person makes three requests. The requests of others are not hidden behind them."""
    strangers = [f"arn:aws:sts::111122223333:assumed-role/Developer/{name}" for name in "aaabcd"]
    for number, each in enumerate(strangers):
        await site.world.shown(site.world.aws.add(number, requester=each))
    await site.world.sweep.sweep()
    found = (await site.problems())[f"requesters {PLACE}"]
    assert f"{strangers[0]}, {strangers[3]}, {strangers[4]} and others: it is not known" in found


async def test_sweep_that_fails_once_between_others_is_no_problem(site: Site) -> None:
    """AWS's list fails about once a day. Two failures in a row are a problem, and at the start the first one is."""
    failure = AwsUnavailable("InternalServerError")
    with capture_logs() as logs:
        for failing in (True, False, True, False, True, True):
            site.world.aws.before["list_requests"] = [failure] if failing else []
            await site.world.sweep.sweep()
    assert [line["event"] for line in logs if line["event"].startswith(("problem", "sweep"))] == [
        *("problem_began", "sweep_failed"),
        *("sweep_done", "problem_ended"),
        *("sweep_failed", "sweep_done"),
        *("sweep_failed", "problem_began", "sweep_failed"),
    ]


async def test_queue_that_fails_once_between_others_is_no_problem() -> None:
    """A long poll ends without an answer, and the next one works. Two failures in a row are a problem."""
    world = new_world()
    health, queue = world.telemetry.health, FailingQueue(world.clock)
    intake = asyncio.create_task(world.intake(queue, telemetry=world.telemetry).run())
    await world.clock.advance(1)
    with capture_logs() as logs:
        queue.failures = 1
        await world.clock.advance(20)
    assert [line["event"] for line in logs] == ["queue_unavailable"]
    queue.failures = 9
    await world.clock.advance(20)
    assert list(health.problems()) == ["queue"]
    queue.failures = 0
    await world.clock.advance(20)
    assert health.problems() == {}
    intake.cancel()


async def test_queue_from_which_the_bot_may_not_delete_is_a_problem_at_once() -> None:
    """Between two deliveries of a message, long polls without messages succeed."""
    world = new_world()
    queue = UndeletableQueue(world.clock)
    intake = world.intake(queue, telemetry=world.telemetry)
    queue.send(world.aws.add())
    await intake.check()
    await intake.take()
    assert world.telemetry.health.problems().keys() == {"queue"}


class UndeletableQueue(MemoryQueue):
    """A queue from which the bot may not delete."""

    async def delete(self, hints: Sequence[Hint]) -> None:
        """Raise AwsUnavailable."""
        raise AwsUnavailable("AccessDenied")


class FailingQueue(MemoryQueue):
    """A queue that fails `failures` times, before it waits for messages."""

    failures = 0

    async def receive(self) -> Sequence[Hint]:
        """Return the messages, or raise AwsUnavailable."""
        if self.failures:
            self.failures -= 1
            raise AwsUnavailable("ConnectionClosedError")
        return await super().receive()


# --- what ends a problem, and what is none


async def test_refused_cards_are_no_problem_after_the_channel_was_corrected_in_the_file(site: Site) -> None:
    """Teams refuses cards in the configured conversation. The file then names another one, to which no card was posted."""
    site.world.chat.refusing[CHANNEL] = ChatProblem.CONVERSATION_NOT_FOUND
    site.world.aws.add()
    async with site.world.running():
        await site.world.sweep.sweep()
        await site.world.clock.advance(LASTS)
    assert list(await site.problems()) == ["cards approvals"]
    corrected = replace(APPROVALS, conversation=OTHER)
    site.world.configuration.replace(replace(site.world.configuration.value, channels=(corrected,)))
    assert await site.problems() == {}


async def test_token_for_another_app_is_no_problem_after_the_app_was_added_to_the_team(site: Site) -> None:
    """Teams knows the app by now, and refuses only the list of members. A stranger sends a token for another app."""
    site.teams.errors["read_members"] = ChatRefused(ChatProblem.NOT_INSTALLED)
    assert list(await site.problems()) == ["channel approvals"]
    site.teams.errors["read_members"] = ChatRefused(ChatProblem.FORBIDDEN)
    site.world.outcomes.failed(Work.ACTIVITY, "audience", code="audience", detail=AUDIENCE)
    await site.world.clock.advance(PERIOD)
    assert await site.problems() == {}
    await site.world.clock.advance(PERIOD)
    assert await site.problems() == {}


async def test_second_vote_of_a_role_that_aws_denies_is_no_problem_of_the_role(site: Site) -> None:
    """AWS may count one vote of a role only, as the card says. The role has just voted, so it has the permission."""
    site.world.aws.second_vote = SecondVote.DENIED
    async with site.world.running():
        key = await site.world.posted(required=2)
        await site.world.press(key, HANAKO)
        await site.world.press(key, ICHIRO)
        await site.world.clock.advance(LASTS)
    assert len(site.world.aws.signals) == 2
    assert await site.problems() == {}


async def test_denied_revocation_is_a_problem_of_the_role_that_approved(site: Site) -> None:
    """AWS has accepted the role's vote at this level. Revoking needs another permission, which the role lacks."""
    async with site.world.running():
        key = await site.world.posted()
        await site.world.press(key, HANAKO)
        await site.world.shown(key)
        site.world.aws.before["signal"] = [SignalRefused("AccessDeniedException", denied=True)]
        await site.world.press(key, ICHIRO, Verb.REVOKE)
    assert [each.action for each in site.world.aws.signals] == [Verdict.APPROVE, Withdrawal.REVOKE]
    assert list(await site.problems()) == [f"decisions {ROLE}"]


async def test_denied_vote_at_the_next_level_is_a_problem_of_the_role(site: Site) -> None:
    """No vote of the role is at the level of the denied one."""
    site.world.aws.before["signal"] = [SignalRefused("AccessDeniedException", denied=True)]
    async with site.world.running():
        await site.world.press(await site.world.posted(required=2), HANAKO)
    assert list(await site.problems()) == [f"decisions {ROLE}"]


async def test_many_people_do_not_displace_what_is_remembered_about_others() -> None:
    """Over a thousand people get a direct message. The accepted activity and the lost event of a place are still known."""
    outcomes = Outcomes(ManualClock())
    outcomes.succeeded(Work.ACTIVITY)
    outcomes.failed(Work.EVENT, f"{ACCOUNT} {REGION}", code="no_event")
    for number in range(2 * KEPT):
        outcomes.succeeded(Work.DIRECT, f"reached-{number}")
        outcomes.failed(Work.DIRECT, f"refused-{number}", code="blocked")
    assert outcomes.last_success(Work.ACTIVITY) is not None
    assert outcomes.failure(Work.EVENT, f"{ACCOUNT} {REGION}", within=_DAY) is not None
    assert len(outcomes.failures(Work.DIRECT, within=_DAY)) == KEPT


async def test_subject_that_was_reported_again_is_kept_longer_than_others() -> None:
    """A check reads all subjects each minute, which does not make them newer."""
    outcomes = Outcomes(ManualClock())
    for number in [*range(KEPT), 0]:
        outcomes.failed(Work.DIRECT, f"person-{number}", code="blocked")
    assert "person-1" in outcomes.failures(Work.DIRECT, within=_DAY)
    outcomes.failed(Work.DIRECT, "another person", code="blocked")
    left = outcomes.failures(Work.DIRECT, within=_DAY)
    assert ("person-0" in left, "person-1" in left) == (True, False)
