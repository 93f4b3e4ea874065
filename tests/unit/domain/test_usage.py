"""What a card says about the sessions of an access, and where its links lead."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from bot.domain.access.sessions import SeenSession, Usage, Whose
from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.domain.record import Record
from bot.domain.request import Status
from bot.domain.routing import Account, SessionLogs
from bot.domain.shown.usage import MOST_LOGS, usage_line
from bot.domain.shown.views import UsageLine, UsageState
from tests.unit.domain.sample import APPROVALS, KEY, NOW, request

MINUTE = timedelta(minutes=1)
END = NOW + 60 * MINUTE


def seen(number: int, *, minutes: int | None = None, whose: Whose = Whose.NAMED) -> SeenSession:
    """Return a session that began `number` minutes after NOW; open, or of a length in minutes."""
    began = NOW + number * MINUTE
    ended = None if minutes is None else began + minutes * MINUTE
    return SeenSession(f"s/{number} #", "i-02999bd501754105a", whose, ended is None, "", began, ended)


def line(usage: Usage | None, *, after: timedelta = timedelta(), logs: SessionLogs | None = None) -> UsageLine | None:
    """Return what the card says this long after NOW, when access runs until END."""
    facts = request(status=Status.APPROVED, access_from=NOW, access_until=END)
    accounts = (Account(KEY.account, (KEY.region,), session_logs=logs),)
    record = Record(KEY, NOW, request=facts, usage=usage)
    return usage_line(record, Configuration((APPROVALS,), IdentityRules(), accounts), NOW + after)


@pytest.mark.parametrize(
    ("usage", "minutes", "state"),
    [
        (Usage(), 30, UsageState.NOT_YET),
        (Usage(), 61, UsageState.NONE_SEEN),
        (Usage(ended_read_at=END), 90, UsageState.NONE_SEEN),
        (Usage(ended_read_at=END + 15 * MINUTE), 90, UsageState.NEVER),
        (Usage(readable=False), 90, UsageState.UNKNOWN),
        (Usage((seen(5, whose=Whose.UNCLEAR),), ended_read_at=END + 15 * MINUTE), 90, UsageState.UNKNOWN),
        (Usage((seen(5),)), 30, UsageState.OPEN),
        (Usage((seen(5), seen(6, minutes=2))), 61, UsageState.STILL_OPEN),
        (Usage((seen(5, minutes=20),)), 30, UsageState.USED),
    ],
)
def test_never_used_is_said_only_after_a_late_complete_read(usage: Usage, minutes: int, state: UsageState) -> None:
    """Unreadable and unclear sessions are never shown as unused, and open ones never as closed."""
    shown = line(usage, after=minutes * MINUTE)
    assert shown is not None
    assert shown.state is state


def test_sessions_are_counted_and_measured() -> None:
    """Unclear ones apart. The length is said only if every session has ended and none is left out."""
    several = Usage((seen(1, minutes=6), seen(5, minutes=20), seen(7, whose=Whose.UNCLEAR)))
    shown = line(several)
    assert shown is not None
    assert (shown.total, shown.unclear, shown.span) == (2, 1, 26 * MINUTE)
    for other in (replace(several, more=True), Usage((*several.sessions, seen(9)))):
        without = line(other)
        assert without is not None
        assert without.span is None
    assert line(None) is None


def test_only_sessions_that_are_open_after_the_end_have_a_link_to_end_them() -> None:
    """It leads to the console's list of sessions in the Region."""
    opened = Usage((seen(1),))
    running, ended = line(opened), line(opened, after=61 * MINUTE)
    assert running is not None
    assert running.sessions_url is None
    assert ended is not None
    assert ended.sessions_url == (
        "https://ap-northeast-1.console.aws.amazon.com/systems-manager/session-manager/sessions?region=ap-northeast-1"
    )


def test_links_to_logs_lead_to_the_log_stream_or_object_of_the_session() -> None:
    """The latest sessions only. Ids from outside cannot change the path or the query of a link."""
    many = Usage(tuple(seen(number, minutes=1) for number in range(5)))
    in_group = line(many, logs=SessionLogs(group="/aws/ssm", bucket="logs"))
    assert in_group is not None
    assert [each.at for each in in_group.logs] == [NOW + number * MINUTE for number in range(5 - MOST_LOGS, 5)]
    fragment = urlsplit(in_group.logs[-1].url).fragment
    assert unquote(unquote(fragment.replace("$", "%"))) == "logsV2:log-groups/log-group//aws/ssm/log-events/s/4 #"
    assert fragment.count("/") == 4
    in_bucket = line(many, logs=SessionLogs(bucket="logs/prod"))
    assert in_bucket is not None
    url = urlsplit(in_bucket.logs[-1].url)
    assert (url.path, parse_qs(url.query)["prefix"]) == ("/s3/object/logs", ["prod/s/4 #.log"])
    assert line(many) == replace(in_bucket, logs=())
