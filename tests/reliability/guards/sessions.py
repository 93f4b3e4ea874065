"""Guards of the sessions on nodes: whose they are, and what is said about them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.abilities import ALL_ABILITIES
from bot.domain.access.endings import EndedSession, Ending, EndingStage, EndState, Found
from bot.domain.access.sessions import Access, AccessType, ListedSession, Others, Usage
from tests.reliability.replacing import Guard, always, around, constant

DOMAIN = "tests/unit/domain/access/test_sessions.py::"
SHOWN = "tests/unit/domain/test_usage.py::"
ENDINGS = "tests/unit/domain/access/test_endings.py::"
ENDING = "tests/scenario/test_ending_sessions.py::"
MATRIX = "tests/security/test_authorisation.py::"
WATCH = "tests/scenario/test_session_watch.py::"


def _of_just_in_time(whose: Any, session: ListedSession, access: Access, others: Others) -> Any:
    return whose(replace(session, access_type=session.access_type or AccessType.JUST_IN_TIME), access, others)


def _with_all_others(whose: Any, session: ListedSession, access: Access, others: Others) -> Any:
    return whose(session, access, replace(others, complete=True))


def _as_just_in_time(may_be_ended: Any, session: ListedSession, *given: Any, **named: Any) -> Any:
    return may_be_ended(replace(session, access_type=AccessType.JUST_IN_TIME), *given, **named)


def _as_planned(after_read: Any, ending: Ending, found: Found, now: Any) -> Any:
    planned = {each.id: each for each in ending.sessions if each.state is EndState.FOUND}
    return after_read(ending, replace(found, theirs={**found.theirs, **planned}), now)


def _without_revocation(_after_revocation: Any, ending: Ending, _revocation: Any, now: Any) -> Ending:
    return replace(ending, stage=EndingStage.RUNS, next_at=now)


def _once_running(after_revocation: Any, ending: Ending, *given: Any) -> Ending:
    return ending if ending.stage is EndingStage.RUNS else after_revocation(ending, *given)


def _by_status(granted_access: Any, place: Any, row: Any) -> Any:
    return granted_access(place, row) if row["Status"] in {"Approved", "Revoked", "Closed"} else None


def _accepted(seen: Any, session: EndedSession, *given: Any) -> Any:
    return replace(session, state=EndState.ENDED) if session.state is EndState.ASKED else seen(session, *given)


async def _unprepared(_prepare: Any, *_given: Any) -> None:
    return


def _unlisted_is_ended(seen: Any, session: EndedSession, found: Found, now: Any) -> Any:
    return seen(session, replace(found, ended=found.ended | ({session.id} - found.open)), now)


GUARDS = (
    Guard(
        "a session while others have access is not the requester's",
        DOMAIN + "test_a_session_of_an_unknown_owner_is_theirs_only_if_no_one_else_had_access[]",
        {"bot.domain.access.sessions:Access.may_cover": always(False)},
    ),
    Guard(
        "no one is alone before all access of others is read",
        DOMAIN + "test_a_session_of_an_unknown_owner_is_theirs_only_if_no_one_else_had_access[]",
        {"bot.domain.access.sessions:whose": around(_with_all_others)},
    ),
    Guard(
        "a session of an unknown type is not the requester's",
        DOMAIN + "test_no_session_of_another_requester_is_theirs[True-False-name]",
        {"bot.domain.access.sessions:whose": around(_of_just_in_time)},
    ),
    Guard(
        "a list of access that lacks a running request is not complete",
        WATCH + "test_list_of_access_without_the_request_itself_is_not_trusted",
        {"bot.service.sources.session_watch:_unlisted": always(())},
    ),
    Guard(
        "a session of an unknown type is not ended",
        ENDINGS + "test_only_open_just_in_time_sessions_of_the_requester_may_be_ended[changed3-None]",
        {"bot.domain.access.endings:may_be_ended": around(_as_just_in_time)},
    ),
    Guard(
        "a session that may be of a requester of unknown names is not ended",
        ENDINGS + "test_session_that_other_access_allows_may_be_left_open[other2-None]",
        {"bot.domain.access.endings:_is_unknown": always(False)},
    ),
    Guard(
        "a session that the requester's other access allows is not ended",
        ENDINGS + "test_session_that_other_access_allows_may_be_left_open[other3-None]",
        {"bot.domain.access.endings:_is_current": always(False)},
    ),
    Guard(
        "a session is attributed again right before its call",
        ENDING + "test_access_that_appears_between_plan_and_call_keeps_the_session_open",
        {"bot.domain.access.endings:after_read": around(_as_planned)},
    ),
    Guard(
        "permission is checked again before each session",
        ENDING + "test_person_who_lost_the_right_ends_no_further_session",
        {"bot.service.decisions.permission_check:PermissionCheck.refusal_of_ending": always(None)},
    ),
    Guard(
        "no session is ended if the revocation was refused",
        ENDING + "test_sessions_are_ended_only_if_the_revocation_was_sent[refused]",
        {"bot.domain.access.endings:after_revocation": around(_without_revocation)},
    ),
    Guard(
        "a later refusal of the revocation stops an ending",
        ENDING + "test_later_refusal_of_a_revocation_without_an_answer_stops_the_ending",
        {"bot.domain.access.endings:after_revocation": around(_once_running)},
    ),
    Guard(
        "access that ended shortly before is read",
        ENDING + "test_access_that_ended_shortly_before_leaves_a_nameless_session_open",
        {"bot.domain.access.sessions:Access.others_since": around(lambda _, access: access.begins)},
    ),
    Guard(
        "access counts whatever status people set by hand",
        "tests/unit/aws/test_ops_items.py::test_access_counts_whatever_status_people_set_by_hand[InProgress-True]",
        {"bot.aws.jit.node_sessions:granted_access": around(_by_status)},
    ),
    Guard(
        "newer access of the requester stops an ending",
        ENDING + "test_newer_access_of_the_same_person_to_the_node_stops_the_ending",
        {"bot.domain.access.endings:_is_newer": always(False), "bot.domain.access.endings:_is_current": always(False)},
    ),
    Guard(
        "a list of access without the request ends nothing",
        ENDING + "test_nothing_is_ended_while_sessions_access_or_approvers_cannot_be_read[request]",
        {"bot.service.reconcile.ending:is_complete": always(True)},
    ),
    Guard(
        "sessions are ended only once every replica works on it",
        ENDING + "test_no_one_can_end_sessions_while_a_process_runs_that_does_not_work_on_it",
        {"bot.service.replicas:Replicas.abilities": always(ALL_ABILITIES)},
    ),
    Guard(
        "requesters end their sessions only once access has ended",
        ENDING + "test_requester_ends_their_own_sessions_in_their_own_chat_once_access_has_ended",
        {"bot.domain.rules.permission:may_end_own": always(None)},
    ),
    Guard(
        "a second click begins no second ending",
        ENDING + "test_second_click_while_sessions_are_ended_changes_nothing",
        {"bot.domain.access.endings:active_ending": always(None)},
    ),
    Guard(
        "approvers are checked before sessions are ended",
        MATRIX + "test_click_without_permission_sends_no_signal_to_aws[granted, the window over]",
        {"bot.service.decisions.permission_check:PermissionCheck.refusal_of_ending": always(None)},
    ),
    Guard(
        "a session is ended only after a fresh read",
        ENDING + "test_session_is_not_ended_after_a_read_that_is_older_than_seconds[list of access]",
        {"bot.service.decisions.state_check:is_fresh": always(True)},
    ),
    Guard(
        "the role that ends sessions is assumed before the reads",
        ENDING + "test_nothing_waits_between_the_reads_and_the_call",
        {"bot.service.reconcile.ending:SessionEndings._prepare": around(_unprepared)},
    ),
    Guard(
        "a session has ended only once AWS lists it as ended",
        ENDING + "test_session_that_aws_accepts_to_end_and_still_lists_is_not_confirmed",
        {"bot.domain.access.endings:_seen": around(_accepted)},
    ),
    Guard(
        "a session that AWS does not list has not ended",
        ENDING + "test_session_that_aws_lists_neither_as_open_nor_as_ended_is_not_confirmed",
        {"bot.domain.access.endings:_seen": around(_unlisted_is_ended)},
    ),
    Guard(
        "a time that a clock stored ahead does not delay an ending",
        ENDINGS + "test_a_time_that_a_clock_stored_ahead_is_not_waited_for",
        {"bot.domain.access.endings:LONGEST_PAUSE": constant(timedelta(days=1))},
    ),
    Guard(
        "never used needs a late read",
        SHOWN + "test_never_used_is_said_only_after_a_late_complete_read[usage1-61-none_seen]",
        {"bot.domain.access.sessions:is_settled": always(True)},
    ),
    Guard(
        "sessions that cannot be read are not shown as unused",
        WATCH + "test_unclear_and_unreadable_sessions_are_never_shown_as_unused",
        {"bot.domain.access.sessions:unreadable": around(lambda _unreadable, usage: usage or Usage())},
    ),
    Guard(
        "ids of sessions are quoted in links",
        SHOWN + "test_links_to_logs_lead_to_the_log_stream_or_object_of_the_session",
        {"bot.domain.shown.usage:quote": around(lambda _quote, text, safe: text)},
    ),
)
