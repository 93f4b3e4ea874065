"""Guards of the sessions on nodes: whose they are, and what is said about them."""

from dataclasses import replace
from typing import Any

from bot.domain.sessions import Access, AccessType, ListedSession, Others
from tests.reliability.replacing import Guard, always, around

DOMAIN = "tests/unit/domain/test_sessions.py::"


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
)
