"""Tests for doctor's table of Session Manager's preferences."""

from dataclasses import replace
from datetime import timedelta

from bot.doctor.printing import as_text
from bot.doctor.report import Report
from bot.doctor.tables import SessionRow, session_rows
from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.domain.routing import Account
from bot.ports.aws import AwsUnavailable
from bot.ports.probes import SessionPreferences
from tests.fakes.probes import SoundAws

ONE, OTHER = "111122223333", "444455556666"
CONFIGURATION = Configuration(
    (), IdentityRules(), (Account(ONE, ("us-east-1", "us-west-2")), Account(OTHER, ("us-east-1",)))
)


class PreferencesOfThree(SoundAws):
    """AWS with a maximum in one Region, defaults in another, and no permission in the other account."""

    async def session_preferences(self, account: str, region: str) -> SessionPreferences:
        """Return the preferences. Raises AwsUnavailable."""
        if account == OTHER:
            raise AwsUnavailable("AccessDeniedException")
        found = await super().session_preferences(account, region)
        return replace(found, longest=timedelta(hours=1)) if region == "us-west-2" else found


async def test_table_says_when_sessions_end_or_that_it_cannot_be_read() -> None:
    """A missing permission is a line of the table and no problem: it is optional."""
    rows = await session_rows(PreferencesOfThree(), CONFIGURATION)
    unread = "not read; ReadSessionPreferences in reader-policy.json allows it (AccessDeniedException)"
    assert rows == [
        SessionRow(ONE, "us-east-1", None, 20),
        SessionRow(ONE, "us-west-2", 60, 20),
        SessionRow(OTHER, "us-east-1", why=unread),
    ]
    report = Report(
        version="1",
        region="us-east-1",
        channels=(),
        accounts=(),
        found=(),
        passed=(),
        not_checked={},
        policies=(),
        requesters=(),
        sessions=tuple(rows),
    )
    assert as_text(report).splitlines()[-5:] == [
        "Sessions run on after their access ends, until Session Manager ends them:",
        "  account       Region     after minutes idle  after minutes",
        "  111122223333  us-east-1  20                  no maximum",
        "  111122223333  us-west-2  20                  60",
        f"  444455556666  us-east-1  ?                   {unread}",
    ]
