"""Guards of the sessions on nodes: whose they are, and what is said about them."""

from dataclasses import replace
from typing import Any

from bot.domain.sessions import Access, AccessType, ListedSession, Others, Usage
from tests.reliability.replacing import Guard, always, around

DOMAIN = "tests/unit/domain/test_sessions.py::"
SHOWN = "tests/unit/domain/test_usage.py::"
WATCH = "tests/scenario/test_session_watch.py::"


def _of_just_in_time(whose: Any, session: ListedSession, access: Access, others: Others) -> Any:
    return whose(replace(session, access_type=session.access_type or AccessType.JUST_IN_TIME), access, others)


def _with_all_others(whose: Any, session: ListedSession, access: Access, others: Others) -> Any:
    return whose(session, access, replace(others, complete=True))


GUARDS = (
    Guard(
        "a session while others have access is not the requester's",
        DOMAIN + "test_a_session_of_an_unknown_owner_is_theirs_only_if_no_one_else_had_access[]",
        {"bot.domain.sessions:Access.may_cover": always(False)},
    ),
    Guard(
        "no one is alone before all access of others is read",
        DOMAIN + "test_a_session_of_an_unknown_owner_is_theirs_only_if_no_one_else_had_access[]",
        {"bot.domain.sessions:whose": around(_with_all_others)},
    ),
    Guard(
        "a session of an unknown type is not the requester's",
        DOMAIN + "test_no_session_of_another_requester_is_theirs[True-False-name]",
        {"bot.domain.sessions:whose": around(_of_just_in_time)},
    ),
    Guard(
        "a list of access that lacks a running request is not complete",
        WATCH + "test_list_of_access_without_the_request_itself_is_not_trusted",
        {"bot.service.sources.session_watch:_unlisted": always(())},
    ),
    Guard(
        "never used needs a late read",
        SHOWN + "test_never_used_is_said_only_after_a_late_complete_read[usage1-61-none_seen]",
        {"bot.domain.sessions:is_settled": always(True)},
    ),
    Guard(
        "sessions that cannot be read are not shown as unused",
        WATCH + "test_unclear_and_unreadable_sessions_are_never_shown_as_unused",
        {"bot.domain.sessions:unreadable": around(lambda _unreadable, usage: usage or Usage())},
    ),
    Guard(
        "ids of sessions are quoted in links",
        SHOWN + "test_links_to_logs_lead_to_the_log_stream_or_object_of_the_session",
        {"bot.domain.shown.usage:quote": around(lambda _quote, text, safe: text)},
    ),
)
