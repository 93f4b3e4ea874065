"""Tests for bot.aws.calls.sessions: when credentials that AWS denied are assumed again."""

from collections.abc import Mapping

from bot.aws.calls.rate_limit import Lane
from bot.aws.calls.sessions import RoleSessions
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


async def test_renewed_credentials_may_be_renewed_again_once_they_worked() -> None:
    """Sessions can be revoked more than once."""
    sessions = RoleSessions(_assume, clock=ManualClock())
    for _ in range(3):
        current = await sessions.get(SESSION, Lane.CLICK)
        assert not sessions.renew_if_stale(current)
        sessions.accepted(SESSION)
        assert sessions.renew_if_stale(current)
