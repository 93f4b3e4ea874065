"""Tests for bot.aws.calls.sessions: when credentials that AWS denied are assumed again."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bot.aws.calls.rate_limit import Lane
from bot.aws.calls.sessions import RoleSessions
from bot.boto.failures import CallFailed, Failure
from bot.ports.aws import RoleSession
from tests.fakes.clock import ManualClock

SESSION = RoleSession("arn:aws:iam::111122223333:role/NodeAccessApprover", "hanako.sato@example.com")


async def _assume(*_: object, **__: object) -> Mapping[str, object]:
    return {"Credentials": {"AccessKeyId": "id", "SecretAccessKey": "secret", "SessionToken": "token"}}


async def test_stale_credentials_that_were_denied_twice_are_renewed_once() -> None:
    """Two calls used the same stale credentials. The second one finds them renewed, and is not refused for good."""
    sessions = RoleSessions(_assume, clock=ManualClock())
    stale = await sessions.get(SESSION, Lane.CLICK)
    sessions.accepted(SESSION)
    assert sessions.renew_if_stale(stale)
    renewed = await sessions.get(SESSION, Lane.CLICK)
    assert sessions.renew_if_stale(stale)
    assert sessions.cached(SESSION) is renewed
    assert not sessions.renew_if_stale(renewed)


async def test_session_is_renewed_at_most_once_in_ten_minutes() -> None:
    """Sessions can be revoked more than once. But a role that lacks one permission is denied again and again.

    Neither accepted calls nor dropping the session in between allow another renewal earlier.
    """
    clock = ManualClock()
    sessions = RoleSessions(_assume, clock=clock)
    for _ in range(3):
        current = await sessions.get(SESSION, Lane.CLICK)
        sessions.accepted(SESSION)
        assert sessions.renew_if_stale(current)
        await clock.advance(599)
        renewed = await sessions.get(SESSION, Lane.CLICK)
        sessions.accepted(SESSION)
        assert not sessions.renew_if_stale(renewed)
        sessions.forget(SESSION)
        renewed = await sessions.get(SESSION, Lane.CLICK)
        sessions.accepted(SESSION)
        assert not sessions.renew_if_stale(renewed)
        await clock.advance(1)


async def test_renewal_of_one_session_does_not_prevent_the_renewal_of_another_session() -> None:
    """Each pair of person and role has its own session."""
    sessions = RoleSessions(_assume, clock=ManualClock())
    for session in (SESSION, replace(SESSION, name="jiro.suzuki@example.com")):
        current = await sessions.get(session, Lane.CLICK)
        sessions.accepted(session)
        assert sessions.renew_if_stale(current)


async def test_session_that_was_just_assumed_is_not_stale() -> None:
    """AWS denied a call, and has accepted none of this session before. So the role lacks the permission."""
    sessions = RoleSessions(_assume, clock=ManualClock())
    current = await sessions.get(SESSION, Lane.CLICK)
    assert not sessions.renew_if_stale(current)


async def test_stale_session_is_used_for_reads_until_a_new_one_is_assumed() -> None:
    """STS does not answer. A single permission may be missing: other reads with the session still work.

    A decision needs another session, because AWS has denied this one.
    """
    answers: list[CallFailed] = []

    async def assume(*_: object, **__: object) -> Mapping[str, object]:
        if answers:
            raise answers.pop()
        return await _assume()

    sessions = RoleSessions(assume, clock=ManualClock())
    denied = await sessions.get(SESSION, Lane.SWEEP)
    sessions.accepted(SESSION)
    assert sessions.renew_if_stale(denied)
    answers += [CallFailed("EndpointConnectionError", Failure.NOT_SENT)] * 2
    assert await sessions.get_or_stale(SESSION, Lane.SWEEP) is denied
    assert sessions.cached(SESSION) is None
    with pytest.raises(CallFailed):
        await sessions.get(SESSION, Lane.CLICK)
    renewed = await sessions.get_or_stale(SESSION, Lane.SWEEP)
    assert renewed is not denied
    assert sessions.cached(SESSION) is renewed
